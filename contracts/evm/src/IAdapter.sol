// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

/// A venue as the router sees it.
interface IAdapter {
    /// Carries out one order for `vault`, whose `cashIn` token units already lie with the adapter.
    /// Before it returns, the adapter has sent `cashOut` token units to `vault`: the router checks that it did.
    /// Reverts when the order is not carried out. `result` is the venue's own, at most 256 bytes.
    function execute(address vault, uint256 cashIn, bytes calldata order)
        external
        returns (uint256 cashOut, bytes memory result);

    /// Closes whatever the caller, a vault account, has at this venue and sends it all its cash, without the router.
    function exit() external returns (uint256 cashOut);
}
