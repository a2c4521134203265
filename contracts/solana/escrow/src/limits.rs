//! What bounds a stolen operator key: how much leaves by co-signed withdrawals, and how much settlement takes from a slot.

use crate::accounts::{load_page, owned_slot};
use crate::error::{Error, Outcome};
use crate::events::{self, Place};
use crate::reader::Reader;
use crate::runtime::{now, Context};
use crate::state::{Escrow, Limits, Outflow, Slot, MICRO, UNLIMITED};

const HOUR: u32 = 3_600;
const DAY: u32 = 86_400;
const SHARE_ONE: u64 = 1_000_000;
const EXIT_DELAY_MAX: u32 = 30 * DAY;
const TIMELOCK_MAX: u32 = 90 * DAY;
const LOSS_WINDOW_MIN: u32 = 60;

impl Limits {
    /// Whoever asks to leave, or lowers a loss limit, when a proposal is made has done so before it takes effect.
    pub fn must_be_sound(&self) -> Outcome {
        let shares = self.hour_share as u64 <= SHARE_ONE && self.day_share as u64 <= SHARE_ONE;
        let exit = 1 <= self.exit_delay && self.exit_delay <= EXIT_DELAY_MAX;
        let timelock = self.exit_delay < self.timelock && self.timelock <= TIMELOCK_MAX;
        let losses = LOSS_WINDOW_MIN <= self.loss_window && self.loss_window <= EXIT_DELAY_MAX;
        let lowering = 1 <= self.limit_delay && self.limit_delay < self.timelock;
        if shares && exit && timelock && losses && lowering { Ok(()) } else { Err(Error::BadLimits) }
    }
}

impl Escrow {
    /// Count `amount` against the hour and the day, or refuse it.
    pub fn must_flow_out(&mut self, amount: u64, now: u32) -> Outcome {
        let (held, limits) = (self.held(), self.settings.limits);
        self.hour.roll(now / HOUR, held);
        self.day.roll(now / DAY, held);
        self.hour.take(amount, limits.hour_share, limits.hour_floor)?;
        self.day.take(amount, limits.day_share, limits.day_floor)
    }
}

impl Outflow {
    fn roll(&mut self, window: u32, held: u64) {
        if self.window != window {
            self.window = window;
            self.base = held;
            self.used = 0;
        }
    }

    fn take(&mut self, amount: u64, share: u32, floor: u64) -> Outcome {
        // Whole millions and the rest apart: the machine has no 128-bit product.
        let (whole, rest) = (self.base / SHARE_ONE, self.base % SHARE_ONE);
        let part = whole.wrapping_mul(share as u64).wrapping_add(rest.wrapping_mul(share as u64) / SHARE_ONE);
        let used = self.used.checked_add(amount).ok_or(Error::Overflow)?;
        if used > part.max(floor) {
            return Err(Error::OutflowLimited);
        }
        self.used = used;
        Ok(())
    }
}

impl Slot {
    /// Let a lower limit take effect whose time has come.
    #[inline(always)]
    pub fn age_limit(&mut self, now: u32) {
        if self.next_limit_at != 0 && now >= self.next_limit_at {
            self.loss_limit = self.next_limit;
            self.next_limit = 0;
            self.next_limit_at = 0;
        }
    }

    /// Micro-USDC that settlement may still take in `window`.
    #[inline(always)]
    pub fn may_lose(&mut self, window: u32) -> u64 {
        if self.loss_limit == UNLIMITED {
            return u64::MAX;
        }
        if self.loss_window != window {
            self.loss_window = window;
            self.loss_used = 0;
        }
        (self.loss_limit as u64).wrapping_mul(MICRO).saturating_sub(self.loss_used)
    }
}

/// Accounts: escrow, page (w), owner (s). Raising counts at once; lowering after the delay, because batches that were cut before
/// rely on the old limit.
pub fn set_loss_limit(context: &Context, data: &mut Reader) -> Outcome {
    let (index, limit) = (data.u16()?, data.u32()?);
    data.finish()?;
    let escrow = context.account(0)?;
    let state: &Escrow = escrow.view(context)?;
    let page = load_page(context, 1, escrow)?;
    let number = page.index;
    let slot = owned_slot(page, index, context.account(2)?)?;
    let now = now()?;
    slot.age_limit(now);
    let effective_at = if limit >= slot.loss_limit {
        slot.loss_limit = limit;
        (slot.next_limit, slot.next_limit_at) = (0, 0);
        now
    } else {
        let at = now.checked_add(state.settings.limits.limit_delay).ok_or(Error::Overflow)?;
        (slot.next_limit, slot.next_limit_at) = (limit, at);
        at
    };
    events::loss_limit_set(&Place { escrow: escrow.key(), page: number, slot: index }, slot, limit, effective_at);
    Ok(())
}
