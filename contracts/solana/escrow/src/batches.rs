//! Settlement: a batch opens, takes each of its pages once, and seals when everything it took was given.

use crate::accounts::{load_page, must_be_operator};
use crate::deltas::Settling;
use crate::error::{Error, Outcome};
use crate::events;
use crate::reader::Reader;
use crate::runtime::{now, Context};
use crate::state::{Escrow, ROOTS};

/// Accounts: escrow (w), operator (s). `id` is the last sealed batch plus one.
pub fn open_batch(context: &Context, data: &mut Reader) -> Outcome {
    let (id, root, pages) = (data.u64()?, data.array::<32>()?, data.u32()?);
    data.finish()?;
    let state: &mut Escrow = context.account(0)?.load(context)?;
    must_be_operator(state, context.account(1)?)?;
    must_run(state)?;
    if state.open_batch != 0 {
        return Err(Error::BatchOpen);
    }
    if Some(id) != state.sealed_batch.checked_add(1) {
        return Err(Error::BatchOutOfOrder);
    }
    if pages == 0 || pages > state.pages {
        return Err(Error::BadArguments);
    }
    state.open_batch = id;
    state.root = root;
    state.pages_total = pages;
    state.pages_settled = 0;
    state.gross = 0;
    state.shortfall = 0;
    state.withheld = 0;
    events::batch_opened(context.account(0)?.key(), id, &root, pages);
    Ok(())
}

/// Accounts: escrow (w), page (w), operator (s). Each page takes a batch once, whatever is sent again.
///
/// A debit takes what the slot has and may lose, and what is missing is held back from credits: no owner can make this fail.
/// It is refused as `ClearingNegative` only when the operator sends pages in a wrong order or deltas that do not sum to zero.
pub fn settle_page(context: &Context, data: &mut Reader) -> Outcome {
    let id = data.u64()?;
    let deltas = data.last_bytes()?;
    let escrow = context.account(0)?;
    let state: &mut Escrow = escrow.load(context)?;
    must_be_operator(state, context.account(2)?)?;
    must_run(state)?;
    let page = load_page(context, 1, escrow)?;
    must_be_open(state, id)?;
    if page.last_batch >= id {
        return Err(Error::PageSettled);
    }
    if state.pages_settled >= state.pages_total {
        return Err(Error::PagesComplete);
    }
    let now = now()?;
    let mut settling = Settling::new(now, now / state.settings.limits.loss_window);
    settling.apply(page, deltas)?;
    state.shortfall = state.shortfall.checked_add(settling.shortfall).ok_or(Error::Overflow)?;
    let there = state.clearing.checked_add(settling.debits).ok_or(Error::Overflow)?;
    let withheld = settling.credits.saturating_sub(there);
    state.withheld = state.withheld.checked_add(withheld).ok_or(Error::Overflow)?;
    if state.withheld > state.shortfall {
        return Err(Error::ClearingNegative);
    }
    settling.finish(page, deltas, withheld)?;
    state.clearing = there - settling.credits;
    page.last_batch = id;
    state.pages_settled += 1;
    let moved = settling.debits.checked_add(settling.credits).ok_or(Error::Overflow)?;
    state.gross = state.gross.checked_add(moved).ok_or(Error::Overflow)?;
    events::page_settled(escrow.key(), id, page, &settling);
    Ok(())
}

/// Accounts: escrow (w), operator (s). All pages are in, and nothing is left over.
pub fn seal_batch(context: &Context, data: &mut Reader) -> Outcome {
    let state = complete(context, data)?;
    if state.clearing != 0 {
        return Err(Error::ClearingNotZero);
    }
    seal(context, state)
}

/// Accounts: escrow (w), operator (s). All pages are in and something is left over, by a mistake or a thief's doing: it stays in the
/// clearing, for the next batch to give. Without this it would be lost to everybody.
pub fn carry_batch(context: &Context, data: &mut Reader) -> Outcome {
    let state = complete(context, data)?;
    if state.clearing == 0 {
        return Err(Error::NothingToCarry);
    }
    seal(context, state)?;
    events::batch_carried(context.account(0)?.key(), state);
    Ok(())
}

/// Accounts: escrow (w), operator (s). Only before the first page: later ones could not be given back what they gave.
pub fn abort_batch(context: &Context, data: &mut Reader) -> Outcome {
    let id = data.u64()?;
    data.finish()?;
    let state: &mut Escrow = context.account(0)?.load(context)?;
    must_be_operator(state, context.account(1)?)?;
    must_be_open(state, id)?;
    if state.pages_settled != 0 {
        return Err(Error::BatchStarted);
    }
    state.open_batch = 0;
    events::batch_aborted(context.account(0)?.key(), id);
    Ok(())
}

/// The escrow whose open batch has all its pages, for its operator.
fn complete<'a>(context: &'a Context, data: &mut Reader) -> Result<&'a mut Escrow, Error> {
    let id = data.u64()?;
    data.finish()?;
    let state: &mut Escrow = context.account(0)?.load(context)?;
    must_be_operator(state, context.account(1)?)?;
    must_run(state)?;
    must_be_open(state, id)?;
    if state.pages_settled == state.pages_total { Ok(state) } else { Err(Error::PagesMissing) }
}

fn seal(context: &Context, state: &mut Escrow) -> Outcome {
    let id = state.open_batch;
    state.sealed_batch = id;
    state.open_batch = 0;
    state.roots[(id % ROOTS as u64) as usize] = state.root;
    events::batch_sealed(context.account(0)?.key(), state);
    Ok(())
}

fn must_run(state: &Escrow) -> Outcome {
    if state.paused == 0 { Ok(()) } else { Err(Error::Paused) }
}

fn must_be_open(state: &Escrow, id: u64) -> Outcome {
    if state.open_batch == 0 {
        return Err(Error::NoBatchOpen);
    }
    if id == state.open_batch { Ok(()) } else { Err(Error::BatchOutOfOrder) }
}
