// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// For tests: a token that calls somebody during a transfer, keeps a part of it, or says that it failed.
contract HostileToken is ERC20 {
    address private target;
    bytes private data;
    uint256 private keeps;
    bool private refuses;
    bool public targetAgreed;
    bytes public targetAnswer;

    constructor() ERC20("Hostile", "BAD") {}

    function decimals() public pure override returns (uint8) {
        return 6;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function setPlan(address target_, bytes calldata data_, uint256 keeps_, bool refuses_) external {
        (target, data, keeps, refuses) = (target_, data_, keeps_, refuses_);
    }

    function act(address on, bytes calldata what) external {
        (bool agreed, bytes memory answer) = on.call(what);
        if (!agreed) {
            assembly ("memory-safe") {
                revert(add(answer, 0x20), mload(answer))
            }
        }
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        if (refuses) return false;
        if (target != address(0)) (targetAgreed, targetAnswer) = target.call(data);
        _burn(msg.sender, keeps);
        return super.transfer(to, amount - keeps);
    }
}
