// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IAggregatorV3} from "./IAggregatorV3.sol";

/// A price feed for local chains, which says whatever its owner told it last.
contract TestFeed is IAggregatorV3, Ownable {
    struct Round {
        uint80 roundId;
        int256 answer;
        uint256 startedAt;
        uint256 updatedAt;
        uint80 answeredInRound;
    }

    uint8 public decimals;
    Round private round;

    event AnswerUpdated(int256 indexed current, uint256 indexed roundId, uint256 updatedAt);

    constructor(address owner_, uint8 decimals_) Ownable(owner_) {
        decimals = decimals_;
    }

    function setRound(Round calldata round_) external onlyOwner {
        round = round_;
        emit AnswerUpdated(round_.answer, round_.roundId, round_.updatedAt);
    }

    function setDecimals(uint8 decimals_) external onlyOwner {
        decimals = decimals_;
    }

    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        return (round.roundId, round.answer, round.startedAt, round.updatedAt, round.answeredInRound);
    }
}
