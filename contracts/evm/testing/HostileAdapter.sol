// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IAdapter} from "../src/IAdapter.sol";

/// For tests: an adapter that does what it is told, before it answers what it is told.
contract HostileAdapter is IAdapter {
    enum Ending {
        RETURN,
        REVERT,
        BURN
    }

    struct Plan {
        /// Called first, unless zero.
        address target;
        bytes data;
        /// Sent to the vault.
        uint256 pays;
        /// Said to have been sent.
        uint256 claims;
        Ending ending;
        /// The bytes of the result or of the error.
        uint256 length;
    }

    IERC20 public immutable token;
    Plan private plan;
    bool public targetAgreed;
    bytes public targetAnswer;

    constructor(IERC20 token_) {
        token = token_;
    }

    function setPlan(Plan calldata plan_) external {
        plan = plan_;
    }

    /// The owner of a vault may be a contract, this one for example.
    function act(address target, bytes calldata data) external {
        (bool agreed, bytes memory answer) = target.call(data);
        if (!agreed) {
            assembly ("memory-safe") {
                revert(add(answer, 0x20), mload(answer))
            }
        }
    }

    function execute(address vault, uint256, bytes calldata) external returns (uint256, bytes memory) {
        return (_carryOut(vault), new bytes(plan.length));
    }

    function exit() external returns (uint256) {
        return _carryOut(msg.sender);
    }

    function _carryOut(address vault) private returns (uint256) {
        if (plan.target != address(0)) (targetAgreed, targetAnswer) = plan.target.call(plan.data);
        if (plan.ending == Ending.REVERT) {
            uint256 length = plan.length;
            assembly ("memory-safe") {
                revert(mload(0x40), length)
            }
        }
        while (plan.ending == Ending.BURN) {}
        if (plan.pays > 0) require(token.transfer(vault, plan.pays), "the token refused");
        return plan.claims;
    }
}
