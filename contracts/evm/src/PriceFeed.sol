// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IAggregatorV3} from "./IAggregatorV3.sol";

/// A price from a Chainlink feed, or the reason why there is none that money may depend on.
library PriceFeed {
    uint8 internal constant PRICE_DECIMALS = 8;
    uint8 internal constant MAX_DECIMALS = 18;

    /// The feed counts in other units than it did when its reader was deployed, or in finer ones than are supported.
    error FeedDecimals(uint8 decimals);
    /// The newest round has no answer yet, or carries one over from an earlier round.
    error FeedIncomplete(uint80 roundId, uint80 answeredInRound);
    /// The answer is zero or negative.
    error FeedNotPositive(int256 answer);
    /// The answer is from after this block.
    error FeedAhead(uint256 updatedAt);
    /// The answer is older than it may be.
    error FeedStale(uint256 updatedAt, uint256 oldest);

    /// The newest price in 1e-8 US dollars, no older than `oldest` (seconds since 1970). Digits beyond that are rounded as told.
    function read(IAggregatorV3 feed, uint8 decimals, uint256 oldest, Math.Rounding rounding)
        internal
        view
        returns (uint64 price)
    {
        if (feed.decimals() != decimals) revert FeedDecimals(feed.decimals());
        (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound) =
            feed.latestRoundData();
        if (startedAt == 0 || updatedAt == 0 || answeredInRound < roundId) {
            revert FeedIncomplete(roundId, answeredInRound);
        }
        if (answer <= 0) revert FeedNotPositive(answer);
        if (updatedAt > block.timestamp) revert FeedAhead(updatedAt);
        if (updatedAt < oldest) revert FeedStale(updatedAt, oldest);
        uint256 scaled = decimals <= PRICE_DECIMALS
            ? uint256(answer) * 10 ** (PRICE_DECIMALS - decimals)
            : Math.mulDiv(uint256(answer), 1, 10 ** (decimals - PRICE_DECIMALS), rounding);
        // A price that rounds to nothing would sell for nothing.
        if (scaled == 0) revert FeedNotPositive(answer);
        return SafeCast.toUint64(scaled);
    }
}
