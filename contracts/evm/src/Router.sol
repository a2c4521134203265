// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {
    AccessControlDefaultAdminRules
} from "@openzeppelin/contracts/access/extensions/AccessControlDefaultAdminRules.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IAdapter} from "./IAdapter.sol";
import {VaultAccount} from "./VaultAccount.sol";

/// Carries out orders of many vaults at many venues in one transaction. Holds no money and never may: cash goes from a vault's account
/// to an adapter and back, and the balances before and after must say the same as the adapter does.
contract Router is AccessControlDefaultAdminRules, Pausable, ReentrancyGuardTransient {
    struct Leg {
        bytes32 adapter;
        VaultAccount vault;
        /// Token units that go from the vault to the adapter first.
        uint128 cashIn;
        /// In the adapter's own words.
        bytes order;
    }

    struct Batch {
        /// Chosen by the executor; a batch is carried out at most once, whatever is sent again.
        bytes32 id;
        /// The last second in which it may be carried out.
        uint64 deadline;
        /// All legs or none; else each for itself.
        bool atomic;
        Leg[] legs;
    }

    struct LegResult {
        bool done;
        uint256 cashOut;
        /// The adapter's result, or the error that undid the leg, cut off after 1,024 bytes.
        bytes answer;
    }

    struct Adapter {
        address venue;
        /// What one leg may use, the token's transfers included.
        uint64 gasLimit;
        /// How much more cash it may take than it gave back.
        uint128 allowance;
        /// What the allowance was set to, which giving back cannot raise it above.
        uint128 limit;
    }

    bytes32 public constant EXECUTOR = keccak256("EXECUTOR");
    bytes32 public constant REGISTRAR = keccak256("REGISTRAR");
    bytes32 public constant GUARDIAN = keccak256("GUARDIAN");
    uint256 private constant MAX_RESULT = 256;
    uint256 private constant MAX_ANSWER = 1024;
    /// Enough to report a leg and to end the batch.
    uint256 private constant RESERVE = 40_000;

    IERC20 public immutable token;
    mapping(bytes32 id => Adapter) public adapters;
    /// The block in which a batch was carried out, or zero.
    mapping(bytes32 batch => uint256) public executedIn;

    event AdapterSet(bytes32 indexed id, address indexed venue, uint64 gasLimit, uint128 limit);
    event LegExecuted(
        bytes32 indexed batch,
        uint256 indexed index,
        address indexed vault,
        bytes32 adapter,
        uint256 cashIn,
        uint256 cashOut,
        bytes result
    );
    event LegFailed(
        bytes32 indexed batch, uint256 indexed index, address indexed vault, bytes32 adapter, bytes reason
    );
    event BatchExecuted(bytes32 indexed batch, address indexed executor, bool atomic, uint256 done, uint256 failed);

    error BatchEmpty();
    error BatchExpired(uint64 deadline);
    error BatchKnown(bytes32 batch, uint256 executedIn);
    error LegReverted(uint256 index, bytes reason);
    error GasTooLow(uint256 index, uint256 needed);
    error AdapterUnknown(bytes32 id);
    error AdapterInvalid(address venue, uint64 gasLimit);
    error AdapterAllowanceExceeded(bytes32 id, uint256 wanted, uint256 allowance);
    error CashMismatch(address account, uint256 expected, uint256 found);
    error ResultTooLong(uint256 length);
    error OnlySelf();

    constructor(IERC20 token_, address admin, uint48 adminDelay) AccessControlDefaultAdminRules(adminDelay, admin) {
        token = token_;
    }

    /// Carries out the batch that `data` encodes, which is `abi.encode(Batch)`. See docs/reference/evm-contracts.md.
    function executeMulti(bytes calldata data)
        external
        onlyRole(EXECUTOR)
        whenNotPaused
        nonReentrant
        returns (LegResult[] memory results)
    {
        Batch memory batch = abi.decode(data, (Batch));
        if (batch.legs.length == 0) revert BatchEmpty();
        if (block.timestamp > batch.deadline) revert BatchExpired(batch.deadline);
        if (executedIn[batch.id] != 0) revert BatchKnown(batch.id, executedIn[batch.id]);
        executedIn[batch.id] = block.number;
        results = new LegResult[](batch.legs.length);
        uint256 done;
        for (uint256 index; index < batch.legs.length; ++index) {
            results[index] = _try(batch, index);
            if (results[index].done) ++done;
        }
        emit BatchExecuted(batch.id, msg.sender, batch.atomic, done, batch.legs.length - done);
    }

    /// One leg, undone as a whole when anything in it fails. For the router itself only.
    function executeLeg(address executor, Leg calldata leg)
        external
        returns (uint256 cashOut, bytes memory result)
    {
        if (msg.sender != address(this)) revert OnlySelf();
        Adapter storage adapter = adapters[leg.adapter];
        address venue = adapter.venue;
        if (leg.cashIn > adapter.allowance) {
            revert AdapterAllowanceExceeded(leg.adapter, leg.cashIn, adapter.allowance);
        }
        adapter.allowance -= leg.cashIn;

        uint256 expected = token.balanceOf(venue) + leg.cashIn;
        leg.vault.release(executor, venue, leg.cashIn);
        _mustHold(venue, expected);

        expected = token.balanceOf(address(leg.vault));
        (cashOut, result) = IAdapter(venue).execute(address(leg.vault), leg.cashIn, leg.order);
        if (result.length > MAX_RESULT) revert ResultTooLong(result.length);
        _mustHold(address(leg.vault), expected + cashOut);

        if (cashOut == 0) return (cashOut, result);
        leg.vault.returned(venue, cashOut);
        adapter.allowance = uint128(Math.min(adapter.limit, adapter.allowance + cashOut));
    }

    /// Names the contract behind an id, what a leg there may use, and how much more cash it may take than it gives back.
    /// Address zero takes the id out of use. Open positions there stay, and vaults' owners can leave them without the router.
    function setAdapter(bytes32 id, address venue, uint64 gasLimit, uint128 limit) external onlyRole(REGISTRAR) {
        bool used = venue != address(0);
        if (used ? venue.code.length == 0 || gasLimit == 0 : gasLimit != 0 || limit != 0) {
            revert AdapterInvalid(venue, gasLimit);
        }
        adapters[id] = Adapter(venue, gasLimit, limit, limit);
        emit AdapterSet(id, venue, gasLimit, limit);
    }

    function pause() external onlyRole(GUARDIAN) {
        _pause();
    }

    /// Not for the guardian: whoever can stop everything in a hurry should not be able to start it.
    function unpause() external onlyRole(DEFAULT_ADMIN_ROLE) {
        _unpause();
    }

    function _try(Batch memory batch, uint256 index) private returns (LegResult memory result) {
        Leg memory leg = batch.legs[index];
        Adapter storage adapter = adapters[leg.adapter];
        if (adapter.venue == address(0)) {
            result.answer = abi.encodeWithSelector(AdapterUnknown.selector, leg.adapter);
        } else {
            (result.done, result.answer) =
                _callSelf(adapter.gasLimit, index, abi.encodeCall(this.executeLeg, (msg.sender, leg)));
        }
        if (result.done) {
            (result.cashOut, result.answer) = abi.decode(result.answer, (uint256, bytes));
            emit LegExecuted(
                batch.id, index, address(leg.vault), leg.adapter, leg.cashIn, result.cashOut, result.answer
            );
        } else {
            if (batch.atomic) revert LegReverted(index, result.answer);
            emit LegFailed(batch.id, index, address(leg.vault), leg.adapter, result.answer);
        }
    }

    /// Calls this contract with exactly `gasLimit`. Whoever sends too little gas gets nothing done, instead of legs that fail for want of it.
    function _callSelf(uint256 gasLimit, uint256 index, bytes memory data)
        private
        returns (bool done, bytes memory answer)
    {
        // A call passes on at most 63/64 of what there is.
        uint256 needed = gasLimit + gasLimit / 63 + RESERVE;
        if (gasleft() < needed) revert GasTooLow(index, needed);
        // In assembly, because Solidity copies all that comes back, and a hostile adapter can make that as long as its gas lasts.
        assembly ("memory-safe") {
            done := call(gasLimit, address(), 0, add(data, 0x20), mload(data), 0, 0)
            let size := returndatasize()
            if gt(size, MAX_ANSWER) { size := MAX_ANSWER }
            answer := mload(0x40)
            mstore(answer, size)
            returndatacopy(add(answer, 0x20), 0, size)
            mstore(0x40, and(add(add(answer, size), 0x3f), not(0x1f)))
        }
    }

    function _mustHold(address account, uint256 expected) private view {
        uint256 found = token.balanceOf(account);
        if (found != expected) revert CashMismatch(account, expected, found);
    }
}
