// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

/// What is used of a Chainlink price feed. Chainlink's own package is not needed for three lines.
interface IAggregatorV3 {
    function decimals() external view returns (uint8);

    function latestRoundData()
        external
        view
        returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound);
}
