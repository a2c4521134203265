//! Settlement: a batch opens, takes each of its pages once, and seals when everything it took was given.

use crate::accounts::{load_page, must_be_operator};
use crate::error::{Error, Outcome};
use crate::events;
use crate::reader::Reader;
use crate::runtime::Context;
use crate::state::{Escrow, Page, DELTA_BYTES, ROOTS};

/// Accounts: escrow (w), operator (s). `id` is the last sealed batch plus one.
pub fn open_batch(context: &Context, data: &mut Reader) -> Outcome {
    let (id, root, pages) = (data.u64()?, data.array::<32>()?, data.u32()?);
    data.finish()?;
    let state: &mut Escrow = context.account(0)?.load(context)?;
    must_be_operator(state, context.account(1)?)?;
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
    state.clearing = 0;
    state.gross = 0;
    events::batch_opened(id, &root, pages);
    Ok(())
}

/// Accounts: escrow (w), page (w), operator (s). Each page takes a batch once, whatever is sent again.
pub fn settle_page(context: &Context, data: &mut Reader) -> Outcome {
    let id = data.u64()?;
    let deltas = data.last_bytes()?;
    let escrow = context.account(0)?;
    let state: &mut Escrow = escrow.load(context)?;
    must_be_operator(state, context.account(2)?)?;
    let page = load_page(context, 1, escrow)?;
    if state.open_batch == 0 {
        return Err(Error::NoBatchOpen);
    }
    if id != state.open_batch {
        return Err(Error::BatchOutOfOrder);
    }
    if page.last_batch >= id {
        return Err(Error::PageSettled);
    }
    if state.pages_settled >= state.pages_total {
        return Err(Error::PagesComplete);
    }
    let (debits, credits) = apply(page, deltas)?;
    page.last_batch = id;
    state.pages_settled += 1;
    let taken = state.clearing.checked_add(debits).ok_or(Error::Overflow)?;
    state.clearing = taken.checked_sub(credits).ok_or(Error::ClearingNegative)?;
    let moved = debits.checked_add(credits).ok_or(Error::Overflow)?;
    state.gross = state.gross.checked_add(moved).ok_or(Error::Overflow)?;
    events::page_settled(id, page.index, debits, credits);
    Ok(())
}

/// Accounts: escrow (w), operator (s). All pages are in, and nothing is left over.
pub fn seal_batch(context: &Context, data: &mut Reader) -> Outcome {
    let id = data.u64()?;
    data.finish()?;
    let state: &mut Escrow = context.account(0)?.load(context)?;
    must_be_operator(state, context.account(1)?)?;
    if state.open_batch == 0 {
        return Err(Error::NoBatchOpen);
    }
    if id != state.open_batch {
        return Err(Error::BatchOutOfOrder);
    }
    if state.pages_settled != state.pages_total {
        return Err(Error::PagesMissing);
    }
    if state.clearing != 0 {
        return Err(Error::ClearingNotZero);
    }
    state.sealed_batch = id;
    state.open_batch = 0;
    state.roots[(id % ROOTS as u64) as usize] = state.root;
    events::batch_sealed(id, &state.root, state.pages_total, state.gross);
    Ok(())
}

/// Apply (slot u8, zigzag varint delta) pairs in ascending slot order; returns the sums of debits and credits.
fn apply(page: &mut Page, deltas: &[u8]) -> Result<(u64, u64), Error> {
    let (mut debits, mut credits) = (0u64, 0u64);
    let mut next_slot = 0;
    let mut bytes = deltas.iter();
    if deltas.is_empty() {
        return Err(Error::BadDeltas);
    }
    while let Some(&index) = bytes.next() {
        if (index as u32) < next_slot || index as u32 >= page.used {
            return Err(Error::BadDeltas);
        }
        next_slot = index as u32 + 1;
        let value = varint(&mut bytes)?;
        let magnitude = value >> 1;
        let slot = page.slots.get_mut(index as usize).ok_or(Error::BadDeltas)?;
        if value & 1 != 0 {
            slot.balance = slot.balance.checked_sub(magnitude).ok_or(Error::InsufficientBalance)?;
            debits += magnitude;
        } else {
            slot.balance = slot.balance.checked_add(magnitude).ok_or(Error::Overflow)?;
            credits += magnitude;
        }
    }
    Ok((debits, credits))
}

/// One delta: magnitude times two, plus one when it is a debit. At most `DELTA_BYTES` bytes, in its shortest form, not zero.
fn varint(bytes: &mut core::slice::Iter<u8>) -> Result<u64, Error> {
    let (mut value, mut shift) = (0u64, 0u32);
    loop {
        let &byte = bytes.next().ok_or(Error::BadDeltas)?;
        value |= ((byte & 0x7f) as u64) << shift;
        shift += 7;
        if byte < 0x80 {
            let shortest = byte != 0 || shift == 7;
            return if shortest && value > 1 { Ok(value) } else { Err(Error::BadDeltas) };
        }
        if shift >= 7 * DELTA_BYTES {
            return Err(Error::BadDeltas);
        }
    }
}
