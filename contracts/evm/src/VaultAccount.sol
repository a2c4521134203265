// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IAdapter} from "./IAdapter.sol";

/// One vault's cash. The owner takes it out; the operator trades it through the router, and only with the contracts that the owner
/// named, and only as much as the owner allowed to be there at a time.
contract VaultAccount is Ownable2Step, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    struct Allowance {
        /// How much of the cash may be with the adapter.
        uint128 limit;
        /// How much went there and did not come back. Gains that came back count as zero, not as less.
        uint128 out;
    }

    IERC20 public immutable token;
    address public immutable router;
    /// Whose batches may trade for this vault. Zero: nobody's.
    address public operator;
    /// By the adapter's address and not by its id: what an id means can change, and then the owner is asked again.
    mapping(address adapter => Allowance) public allowances;

    event Deposited(address indexed from, uint256 amount);
    event Withdrawn(address indexed to, uint256 amount);
    event OperatorSet(address indexed operator);
    event AllowanceSet(address indexed adapter, uint256 limit);
    event Released(address indexed adapter, uint256 amount, uint256 out);
    event Returned(address indexed adapter, uint256 amount, uint256 out);

    error NotRouter(address caller);
    error NotOperator(address caller);
    error AllowanceExceeded(address adapter, uint256 wanted, uint256 limit);
    error OwnerNeeded();

    modifier onlyRouter() {
        if (msg.sender != router) revert NotRouter(msg.sender);
        _;
    }

    constructor(IERC20 token_, address router_, address owner_, address operator_) Ownable(owner_) {
        token = token_;
        router = router_;
        operator = operator_;
        emit OperatorSet(operator_);
    }

    /// Takes token units from the caller, who has approved them. A plain transfer to this address is a deposit too.
    function deposit(uint128 amount) external nonReentrant {
        token.safeTransferFrom(msg.sender, address(this), amount);
        emit Deposited(msg.sender, amount);
    }

    function withdraw(address to, uint128 amount) external onlyOwner nonReentrant {
        token.safeTransfer(to, amount);
        emit Withdrawn(to, amount);
    }

    function setOperator(address operator_) external onlyOwner {
        operator = operator_;
        emit OperatorSet(operator_);
    }

    function setAllowance(address adapter, uint128 limit) external onlyOwner {
        allowances[adapter].limit = limit;
        emit AllowanceSet(adapter, limit);
    }

    /// Closes everything at a venue and brings the cash home, whatever the operator, the registrar or the guardian want.
    function exit(IAdapter adapter) external onlyOwner nonReentrant returns (uint256 received) {
        uint256 before = token.balanceOf(address(this));
        adapter.exit();
        received = token.balanceOf(address(this)) - before;
        _count(address(adapter), received);
    }

    /// Hands cash to an adapter for an order of `executor`, who must be the operator, also when there is no cash to hand over.
    function release(address executor, address adapter, uint128 amount) external onlyRouter nonReentrant {
        if (executor != operator) revert NotOperator(executor);
        // With what is there already it may go on: an owner who lowers the allowance wants positions closed, not stuck.
        if (amount == 0) return;
        Allowance storage allowance = allowances[adapter];
        uint256 out = uint256(allowance.out) + amount;
        if (out > allowance.limit) revert AllowanceExceeded(adapter, out, allowance.limit);
        allowance.out = uint128(out);
        emit Released(adapter, amount, out);
        token.safeTransfer(adapter, amount);
    }

    /// Takes note of cash that an adapter sent; the router has seen it arrive.
    function returned(address adapter, uint256 amount) external onlyRouter {
        _count(adapter, amount);
    }

    /// Without an owner the cash could never leave.
    function renounceOwnership() public pure override {
        revert OwnerNeeded();
    }

    function _count(address adapter, uint256 amount) private {
        Allowance storage allowance = allowances[adapter];
        allowance.out = amount < allowance.out ? allowance.out - uint128(amount) : 0;
        emit Returned(adapter, amount, allowance.out);
    }
}
