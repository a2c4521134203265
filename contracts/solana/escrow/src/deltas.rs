//! One page's deltas: pairs of a slot (u8, ascending) and a zigzag varint, applied as far as slots allow.

use crate::error::{Error, Outcome};
use crate::state::{Page, Slot, DELTA_BYTES, SLOTS, UNLIMITED};

/// What a page's deltas did: applied debits and credits, debits that could not be taken, and who was short.
pub struct Settling {
    now: u32,
    window: u32,
    limited_credits: bool,
    pub debits: u64,
    pub credits: u64,
    pub shortfall: u64,
    pub withheld: u64,
    /// Of each slot what of its delta was not applied: above 0 held back from it, below 0 not taken from it.
    pub shorts: [i64; SLOTS],
    pub short: u32,
}

impl Settling {
    #[inline(always)]
    pub fn new(now: u32, window: u32) -> Self {
        let shorts = [0; SLOTS];
        Settling { now, window, limited_credits: false, debits: 0, credits: 0, shortfall: 0, withheld: 0, shorts, short: 0 }
    }

    /// Take debits as far as balance and loss limit reach, and give all credits for now.
    #[inline(always)]
    pub fn apply(&mut self, page: &mut Page, deltas: &[u8]) -> Outcome {
        let mut next_slot = 0;
        // Hardly any page has a mark, and looking for each slot's would cost a tenth of all.
        let mut marked = page.short.iter().any(|&byte| byte != 0);
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
            slot.age_limit(self.now);
            if value & 1 == 0 {
                // All balances together stay below 2^62 and a page's credits below 2^55.
                slot.balance += magnitude;
                self.credits += magnitude;
                self.limited_credits |= slot.loss_limit != UNLIMITED;
                if marked {
                    page.set_short(index, false);
                }
                continue;
            }
            let may = slot.balance.min(slot.may_lose(self.window));
            let taken = magnitude.min(may);
            slot.balance -= taken;
            self.debits += taken;
            if slot.loss_limit != UNLIMITED {
                slot.loss_used += taken;
            }
            if taken < magnitude {
                let missing = magnitude - taken;
                self.shortfall += missing;
                self.note(slot, index, (missing as i64).wrapping_neg());
            }
            // Each delta has all that is due, so the last one says whether anything still is.
            let short = taken < magnitude && slot.balance != 0;
            if marked || short {
                page.set_short(index, short);
                marked = true;
            }
        }
        Ok(())
    }

    /// Take `withheld` back from credits, the first ones first, and count what is left of them against losses.
    #[inline(always)]
    pub fn finish(&mut self, page: &mut Page, deltas: &[u8], withheld: u64) -> Outcome {
        self.withheld = withheld;
        self.credits -= withheld;
        if withheld == 0 && !self.limited_credits {
            return Ok(());
        }
        let mut left = withheld;
        let mut bytes = deltas.iter();
        while let Some(&index) = bytes.next() {
            let value = varint(&mut bytes)?;
            if value & 1 != 0 {
                continue;
            }
            let magnitude = value >> 1;
            let slot = page.slots.get_mut(index as usize).ok_or(Error::BadDeltas)?;
            let held = magnitude.min(left);
            if held > 0 {
                left -= held;
                slot.balance -= held;
                self.note(slot, index, held as i64);
            }
            // Only what was really given: credits that never come must not make room for further losses.
            if slot.loss_limit != UNLIMITED && slot.loss_window == self.window {
                slot.loss_used = slot.loss_used.saturating_sub(magnitude - held);
            }
        }
        Ok(())
    }

    fn note(&mut self, slot: &mut Slot, index: u8, amount: i64) {
        slot.unapplied = slot.unapplied.saturating_add(amount);
        if let Some(place) = self.shorts.get_mut(index as usize) {
            *place = amount;
            self.short += 1;
        }
    }
}

/// One delta: magnitude times two, plus one when it is a debit. At most `DELTA_BYTES` bytes, in its shortest form, not zero.
#[inline(always)]
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
