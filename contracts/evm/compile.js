// Compiles src/ and testing/ with the pinned solc and writes one file of ABI and bytecode for each contract.
// usage: node compile.js MODULES SOURCES OUT  (MODULES: the folder with node_modules)
"use strict";
const fs = require("fs");
const path = require("path");
const [modules, here, out] = process.argv.slice(2).map((name) => path.resolve(name));
const solc = require(path.join(modules, "node_modules", "solc"));

const sources = {};
for (const folder of ["src", "testing"]) {
  for (const file of fs.readdirSync(path.join(here, folder)).sort()) {
    if (file.endsWith(".sol")) sources[`${folder}/${file}`] = { content: fs.readFileSync(path.join(here, folder, file), "utf8") };
  }
}
const input = {
  language: "Solidity",
  sources,
  settings: {
    evmVersion: "cancun",
    optimizer: { enabled: true, runs: 10000 },
    // Without the hash of the metadata, comments and paths do not change the bytes.
    metadata: { bytecodeHash: "none", appendCBOR: false },
    outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
  },
};
const library = (name) => {
  const file = path.join(modules, "node_modules", name);
  return fs.existsSync(file) ? { contents: fs.readFileSync(file, "utf8") } : { error: `${name} is not there` };
};
const result = JSON.parse(solc.compile(JSON.stringify(input), { import: library }));
// A warning is a doubt about code that holds money. Those about OpenZeppelin's sources are for OpenZeppelin.
const others = (problem) => problem.severity === "warning" && problem.sourceLocation?.file.startsWith("@openzeppelin/");
const problems = (result.errors || []).filter((problem) => !others(problem));
for (const problem of problems) console.error(problem.formattedMessage);
if (problems.length) process.exit(1);
for (const source of Object.keys(sources)) {
  const folder = source.startsWith("testing/") ? path.join(out, "testing") : out;
  fs.mkdirSync(folder, { recursive: true });
  for (const [name, contract] of Object.entries(result.contracts[source])) {
    const bytecode = contract.evm.bytecode.object;
    // Interfaces have nothing to deploy, and a library of internal functions is part of whoever uses it.
    if (!bytecode || !contract.abi.some((entry) => entry.type === "function")) continue;
    const text = JSON.stringify({ contract: name, source, compiler: solc.version(), abi: contract.abi, bytecode: `0x${bytecode}` }, null, 1);
    fs.writeFileSync(path.join(folder, `${name}.json`), `${text}\n`);
  }
}
