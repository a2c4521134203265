// SPDX-License-Identifier: UNLICENSED
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IAdapter} from "./IAdapter.sol";
import {IAggregatorV3} from "./IAggregatorV3.sol";
import {PriceFeed} from "./PriceFeed.sol";

/// A gold market that always trades at the feed's price: vaults are long or short against a pool, which is whatever token units lie here
/// beyond what vaults are owed. Nobody can take from the pool; a plain transfer adds to it. There is no role of any kind.
///
/// A long is paid in full. A short leaves its proceeds here and as much again. Sizes are 1e-8 ounces, prices 1e-8 US dollars per ounce,
/// cash is token units (1e-6 US dollars); every rounding is against the vault.
contract AdapterMockGold is IAdapter, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;
    using SafeCast for int256;
    using SafeCast for uint256;

    struct Order {
        /// The client's id; a vault's order is carried out at most once.
        bytes32 id;
        /// Bought, or if negative sold. Zero moves cash only.
        int128 size;
        /// The worst price: at most when buying, at least when selling.
        uint64 limitPrice;
        /// Cash to send back; the largest number means all that need not stay.
        uint128 cashOut;
    }

    struct Position {
        int128 size;
        /// Cash paid in, less cash paid out, less what was paid for the size: the value of everything is cash + size x price.
        int128 cash;
    }

    struct Fill {
        int128 size;
        uint64 price;
        /// Zero: no such order was carried out.
        uint64 filledAt;
    }

    int256 private constant E8_E8_PER_UNIT = 1e10;
    uint128 public constant EVERYTHING = type(uint128).max;
    /// After so long without a price a feed counts as ended, and vaults may leave at its last one.
    uint256 public constant FEED_ENDED = 7 days;

    IERC20 public immutable token;
    address public immutable router;
    IAggregatorV3 public immutable feed;
    uint8 public immutable feedDecimals;
    uint256 public immutable maxAge;

    mapping(address vault => Position) public positions;
    mapping(address vault => mapping(bytes32 id => Fill)) public fills;
    /// The sum of all positions.
    Position public total;

    event OrderFilled(
        address indexed vault,
        bytes32 indexed id,
        int256 size,
        uint256 price,
        uint256 cashIn,
        uint256 cashOut,
        int256 sizeAfter,
        int256 cashAfter
    );
    event Exited(address indexed vault, int256 size, uint256 price, uint256 cashOut);
    event Liquidated(address indexed vault, int256 size, uint256 price, int256 cashAfter);
    /// A short lost more than it had here; the pool has borne it.
    event LossBorne(address indexed vault, uint256 amount);

    error NotRouter(address caller);
    error OrderEmpty();
    error OrderKnown(bytes32 id);
    error LimitNotMet(uint256 price, uint256 limitPrice);
    error NotCovered(int256 cash, int256 needed);
    error PoolShort(uint256 balance, int256 owed);
    error NothingToClose(address vault);
    error StillCovered(int256 cash, int256 needed);

    constructor(IERC20 token_, address router_, IAggregatorV3 feed_, uint256 maxAge_) {
        token = token_;
        router = router_;
        feed = feed_;
        feedDecimals = feed_.decimals();
        if (feedDecimals > PriceFeed.MAX_DECIMALS) revert PriceFeed.FeedDecimals(feedDecimals);
        maxAge = maxAge_;
    }

    /// `order` is `abi.encode(Order)`; the result is `abi.encode(price)`, zero when only cash was moved.
    function execute(address vault, uint256 cashIn, bytes calldata data)
        external
        nonReentrant
        returns (uint256 cashOut, bytes memory result)
    {
        if (msg.sender != router) revert NotRouter(msg.sender);
        Order memory order = abi.decode(data, (Order));
        if (order.size == 0 && cashIn == 0 && order.cashOut == 0) revert OrderEmpty();
        if (fills[vault][order.id].filledAt != 0) revert OrderKnown(order.id);

        Position memory before = positions[vault];
        uint64 price;
        if (order.size != 0 || (before.size != 0 && order.cashOut != 0)) {
            price = _price(block.timestamp - maxAge, order.size > 0);
        }
        if (order.size > 0 ? price > order.limitPrice : order.size < 0 && price < order.limitPrice) {
            revert LimitNotMet(price, order.limitPrice);
        }
        Position memory next = Position(
            before.size + order.size,
            (int256(before.cash) + cashIn.toInt256() - _cost(order.size, price)).toInt128()
        );
        cashOut = _cashOut(order.cashOut, next, price);
        next.cash -= cashOut.toInt256().toInt128();
        // Who only makes a position smaller, or brings cash, may do it however little is left.
        if (cashOut != 0 || (order.size != 0 && !_smaller(before.size, next.size))) {
            int256 needed = _needed(next.size, price, 2, 1);
            if (next.cash < needed) revert NotCovered(next.cash, needed);
        }
        fills[vault][order.id] =
            Fill(order.size, order.size == 0 ? 0 : price, uint64(block.timestamp));
        _store(vault, before, next);
        emit OrderFilled(vault, order.id, order.size, price, cashIn, cashOut, next.size, next.cash);
        _pay(vault, cashOut, price);
        return (cashOut, abi.encode(order.size == 0 ? 0 : price));
    }

    /// Closes the calling vault's position at the feed's price and sends it everything.
    function exit() external nonReentrant returns (uint256 cashOut) {
        Position memory before = positions[msg.sender];
        if (before.size == 0 && before.cash == 0) revert NothingToClose(msg.sender);
        uint64 price;
        if (before.size != 0) price = _priceToLeave(before.size < 0);
        Position memory next = Position(0, (int256(before.cash) - _cost(-before.size, price)).toInt128());
        if (next.cash > 0) (cashOut, next.cash) = (uint128(next.cash), 0);
        _store(msg.sender, before, next);
        emit Exited(msg.sender, before.size, price, cashOut);
        _pay(msg.sender, cashOut, price);
    }

    /// Closes a short of which less than half its value is left. Anybody may; the remaining cash stays the vault's.
    function liquidate(address vault) external nonReentrant {
        Position memory before = positions[vault];
        if (before.size >= 0) revert NothingToClose(vault);
        uint64 price = _price(block.timestamp - maxAge, true);
        int256 needed = _needed(before.size, price, 3, 2);
        if (before.cash >= needed) revert StillCovered(before.cash, needed);
        Position memory next = Position(0, (int256(before.cash) - _cost(-before.size, price)).toInt128());
        _store(vault, before, next);
        emit Liquidated(vault, before.size, price, positions[vault].cash);
    }

    /// What buying `size` costs, rounded up; of selling, what it brings, negative and rounded down.
    function _cost(int256 size, uint64 price) private pure returns (int256) {
        int256 exact = size * int256(uint256(price));
        // Division rounds towards zero, which is down for what a sale brings.
        return exact > 0 ? (exact + E8_E8_PER_UNIT - 1) / E8_E8_PER_UNIT : exact / E8_E8_PER_UNIT;
    }

    /// The cash that must stay with a position: none with a long, `times`/`by` of its value with a short, rounded up.
    function _needed(int256 size, uint64 price, int256 times, int256 by) private pure returns (int256) {
        return size >= 0 ? int256(0) : (_cost(-size, price) * times + by - 1) / by;
    }

    function _smaller(int256 before, int256 next) private pure returns (bool) {
        return before > 0 ? next >= 0 && next < before : next <= 0 && next > before;
    }

    function _cashOut(uint128 wanted, Position memory next, uint64 price) private pure returns (uint256) {
        if (wanted != EVERYTHING) return wanted;
        int256 free = int256(next.cash) - _needed(next.size, price, 2, 1);
        return free > 0 ? uint256(free) : 0;
    }

    function _store(address vault, Position memory before, Position memory next) private {
        if (next.size == 0 && next.cash < 0) {
            emit LossBorne(vault, uint128(-next.cash));
            next.cash = 0;
        }
        positions[vault] = next;
        Position memory sum = total;
        total = Position(sum.size + next.size - before.size, sum.cash + next.cash - before.cash);
    }

    /// Sends cash to a vault, unless it would be that of others: what is left must cover all that is owed at this price.
    function _pay(address vault, uint256 cashOut, uint64 price) private {
        if (cashOut == 0) return;
        Position memory sum = total;
        // Only who has no position, and may therefore do without a price, comes here without one.
        if (sum.size != 0 && price == 0) price = _priceToLeave(sum.size > 0);
        int256 owed = int256(sum.cash) - _cost(-sum.size, price);
        uint256 balance = token.balanceOf(address(this));
        if (balance.toInt256() - cashOut.toInt256() < owed) revert PoolShort(balance, owed + cashOut.toInt256());
        token.safeTransfer(vault, cashOut);
    }

    /// The price, or the last one of a feed that has ended.
    function _priceToLeave(bool buying) private view returns (uint64) {
        (,,, uint256 updatedAt,) = feed.latestRoundData();
        bool ended = updatedAt + FEED_ENDED < block.timestamp;
        return _price(ended ? 0 : block.timestamp - maxAge, buying);
    }

    function _price(uint256 oldest, bool buying) private view returns (uint64) {
        return PriceFeed.read(feed, feedDecimals, oldest, buying ? Math.Rounding.Ceil : Math.Rounding.Floor);
    }
}
