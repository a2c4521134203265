//! Leaving without the operator: ask, wait out the delay, take. Nothing else can stop it, a pause neither.

use crate::accounts::{load_page, owned_slot};
use crate::custody::pay_out;
use crate::error::{Error, Outcome};
use crate::events::{self, Movement, Place};
use crate::reader::Reader;
use crate::runtime::{now, Context};
use crate::state::Escrow;

/// Accounts: escrow, page (w), owner (s). The time is fixed when asked, so that no later setting prolongs it. What is asked for may be
/// more than the balance: the claim pays what is there, and settlement goes on until then.
pub fn request_withdrawal(context: &Context, data: &mut Reader) -> Outcome {
    let (index, amount) = (data.u16()?, data.u64()?);
    data.finish()?;
    let escrow = context.account(0)?;
    let state: &Escrow = escrow.view(context)?;
    let page = load_page(context, 1, escrow)?;
    let number = page.index;
    let slot = owned_slot(page, index, context.account(2)?)?;
    if amount == 0 {
        return Err(Error::ZeroAmount);
    }
    // Adding to an old request would take out new money without the delay.
    if slot.exit_at != 0 {
        return Err(Error::WithdrawalPending);
    }
    slot.exit_at = now()?.checked_add(state.settings.limits.exit_delay).ok_or(Error::Overflow)?;
    slot.pending = amount;
    events::withdrawal_requested(&Place { escrow: escrow.key(), page: number, slot: index }, slot);
    Ok(())
}

/// Accounts: escrow, page (w), owner (s).
pub fn cancel_withdrawal_request(context: &Context, data: &mut Reader) -> Outcome {
    let index = data.u16()?;
    data.finish()?;
    let escrow = context.account(0)?;
    let _: &Escrow = escrow.view(context)?;
    let page = load_page(context, 1, escrow)?;
    let number = page.index;
    let slot = owned_slot(page, index, context.account(2)?)?;
    if slot.exit_at == 0 {
        return Err(Error::NoWithdrawalPending);
    }
    events::withdrawal_request_cancelled(&Place { escrow: escrow.key(), page: number, slot: index }, slot);
    (slot.pending, slot.exit_at) = (0, 0);
    Ok(())
}

/// Accounts: escrow (w), page (w), owner (s), owner's token account (w), vault (w), token program. Pays what was asked for, or the
/// balance when that is less; nothing, when nothing is left.
///
/// An owner whose loss limit keeps settlement from taking a loss does not leave before the others who are owed it: it pays, by raising
/// the limit, or waits, but never longer than `Limits::hold`. Raising alone changes nothing until a page has taken the loss.
pub fn claim_withdrawal(context: &Context, data: &mut Reader) -> Outcome {
    let index = data.u16()?;
    data.finish()?;
    let escrow = context.account(0)?;
    let state: &mut Escrow = escrow.load(context)?;
    let page = load_page(context, 1, escrow)?;
    let (number, short) = (page.index, page.is_short(index));
    let slot = owned_slot(page, index, context.account(2)?)?;
    if slot.exit_at == 0 {
        return Err(Error::NoWithdrawalPending);
    }
    let now = now()?;
    if now < slot.exit_at {
        return Err(Error::WithdrawalNotReady);
    }
    if short && now < slot.exit_at.saturating_add(state.settings.limits.hold()) {
        return Err(Error::LossOutstanding);
    }
    let (asked, amount) = (slot.pending, slot.pending.min(slot.balance));
    (slot.pending, slot.exit_at) = (0, 0);
    slot.balance -= amount;
    state.exits = state.exits.checked_add(amount).ok_or(Error::Overflow)?;
    pay_out(context, state, 3, amount)?;
    events::withdrawal_claimed(&Movement {
        place: Place { escrow: escrow.key(), page: number, slot: index },
        owner: &slot.owner,
        account: slot.account,
        amount,
        number: asked,
    });
    Ok(())
}
