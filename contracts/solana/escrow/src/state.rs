//! Layouts of the program's accounts. Fixed size, little-endian, no padding: the IDL's Borsh layout is the same bytes.

use crate::discriminators as d;
use crate::runtime::Key;

/// Slots in a page. The largest allowed deltas of all of them fit one transaction of 1,232 bytes, and the page fits 10,240 bytes,
/// the most that a program can create.
pub const SLOTS: usize = 105;
/// Bytes of a bit for each slot.
pub const SHORT_BYTES: usize = SLOTS.div_ceil(8);
/// Bytes of a delta at most: seven 7-bit groups, so magnitudes stay below 2^48.
pub const DELTA_BYTES: u32 = 7;
/// Micro-USDC that the escrow takes in all its life, so that every sum of them fits 63 bits wherever it is kept.
pub const DEPOSITS_MAX: u64 = (1 << 62) - 1;
/// Roots of sealed batches kept, at index `id % ROOTS`.
pub const ROOTS: usize = 128;
/// Loss limits are whole USDC, this many micro-USDC each.
pub const MICRO: u64 = 1_000_000;
/// The loss limit of whoever set none.
pub const UNLIMITED: u32 = u32::MAX;
/// Numbers of the fee treasury's and the insurance fund's account.
pub const TREASURY_ACCOUNT: u32 = 1;
pub const INSURANCE_ACCOUNT: u32 = 2;

/// Account data that starts with a discriminator of its own.
pub trait Layout {
    const DISCRIMINATOR: [u8; 8];
}

/// Numbers that bound what keys can do. Shares are parts per million of what the escrow holds, times are seconds.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Limits {
    /// Micro-USDC that co-signed withdrawals may always take within an hour, and a day, however small the vault.
    pub hour_floor: u64,
    pub day_floor: u64,
    pub hour_share: u32,
    pub day_share: u32,
    /// From asking to leave to leaving without the operator.
    pub exit_delay: u32,
    /// From proposing settings to their taking effect.
    pub timelock: u32,
    /// Length of the windows in which losses are counted.
    pub loss_window: u32,
    /// From lowering a loss limit to its taking effect.
    pub limit_delay: u32,
}

/// What changes only by a proposal.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Settings {
    pub admin: Key,
    pub operator: Key,
    pub guardian: Key,
    pub limits: Limits,
}

/// Co-signed withdrawals of one hour or one day.
#[repr(C)]
pub struct Outflow {
    /// What the escrow held at the window's first withdrawal.
    pub base: u64,
    pub used: u64,
    /// Number of the window since 1970.
    pub window: u32,
    pub reserved: u32,
}

/// The escrow: who may do what, the open batch, running totals.
#[repr(C)]
pub struct Escrow {
    pub discriminator: [u8; 8],
    /// The admin who initialized it: part of its address for ever.
    pub creator: Key,
    pub settings: Settings,
    pub mint: Key,
    pub vault: Key,
    /// Last sealed batch.
    pub sealed_batch: u64,
    /// The batch being settled, or 0.
    pub open_batch: u64,
    /// What the open batch took from pages and has not given to others yet, and what an earlier one left over.
    pub clearing: u64,
    /// Sum of what the open batch moved, debits and credits.
    pub gross: u64,
    /// Running totals: paid in, paid out with the operator, paid out without it.
    pub deposits: u64,
    pub withdrawals: u64,
    pub exits: u64,
    pub deposit_count: u64,
    /// Debits that the open batch could not take, and credits that it held back because of them.
    pub shortfall: u64,
    pub withheld: u64,
    pub hour: Outflow,
    pub day: Outflow,
    pub pages: u32,
    pub pages_total: u32,
    pub pages_settled: u32,
    pub bump: u8,
    pub vault_bump: u8,
    /// 1 while the guardian has settlement paused.
    pub paused: u8,
    pub version: u8,
    /// Root of the open batch.
    pub root: [u8; 32],
    /// Settings that will apply, when `proposal_ready` is not 0, from that second on.
    pub proposal: Settings,
    pub proposal_ready: u32,
    /// Proposals ever made: the number of the pending one.
    pub proposals: u32,
    pub reserved: [u8; 224],
    pub roots: [[u8; 32]; ROOTS],
}

impl Layout for Escrow {
    const DISCRIMINATOR: [u8; 8] = d::ESCROW;
}

impl Escrow {
    /// What the vault owes: all balances and the clearing. Tokens that strangers sent are not in it.
    pub fn held(&self) -> u64 {
        self.deposits.wrapping_sub(self.withdrawals).wrapping_sub(self.exits)
    }
}

/// One agent's place in a page.
#[repr(C)]
pub struct Slot {
    pub owner: Key,
    pub balance: u64,
    /// Most that may be claimed once `exit_at` has come.
    pub pending: u64,
    /// Micro-USDC that settlement took within `loss_window`, less what it gave; never below 0. Counted while there is a limit.
    pub loss_used: u64,
    /// Sum of the deltas that were sent less those that were applied, since the account was opened: above 0 what was held back from
    /// it, below 0 what could not be taken from it.
    pub unapplied: i64,
    /// The account's number on the network.
    pub account: u32,
    /// Number of the last co-signed withdrawal; a later one has a higher number.
    pub last_withdrawal: u32,
    /// When what was asked for may be claimed (seconds); 0 when nothing was.
    pub exit_at: u32,
    /// Whole USDC that settlement may take within a window.
    pub loss_limit: u32,
    /// Number of the window since 1970 that `loss_used` is about.
    pub loss_window: u32,
    /// The lower limit that takes effect at `next_limit_at` (seconds); 0 when there is none.
    pub next_limit: u32,
    pub next_limit_at: u32,
    /// 0, or the account is closed: once this batch is sealed, the slot may be given to another.
    pub closed_batch: u32,
}

/// A page of slots: one account lock, one transaction to settle.
#[repr(C)]
pub struct Page {
    pub discriminator: [u8; 8],
    pub escrow: Key,
    /// Who paid the rent, and gets it back.
    pub payer: Key,
    /// The last batch that this page took: makes each page exactly-once.
    pub last_batch: u64,
    pub index: u32,
    pub used: u32,
    /// A bit for each slot, the lowest first: its loss limit kept the last debit from being taken in full, and something was left.
    pub short: [u8; SHORT_BYTES],
    pub reserved: [u8; 2],
    pub slots: [Slot; SLOTS],
}

impl Layout for Page {
    const DISCRIMINATOR: [u8; 8] = d::PAGE;
}

impl Page {
    #[inline(always)]
    pub fn set_short(&mut self, slot: u8, short: bool) {
        if let Some(byte) = self.short.get_mut(slot as usize / 8) {
            *byte = *byte & !(1 << (slot % 8)) | (short as u8) << (slot % 8);
        }
    }

    pub fn is_short(&self, slot: u16) -> bool {
        self.short.get(slot as usize / 8).is_some_and(|byte| byte >> (slot % 8) & 1 != 0)
    }
}

impl Limits {
    /// How long after its time an exit waits for a loss that the owner's limit keeps settlement from taking. The timelock is longer than
    /// both together, so whoever asks when a proposal is made has left before it takes effect, owing or not.
    pub fn hold(&self) -> u32 {
        (self.timelock - self.exit_delay) / 2
    }
}

const _: () = assert!(core::mem::size_of::<Limits>() == 40);
const _: () = assert!(core::mem::size_of::<Settings>() == 136);
const _: () = assert!(core::mem::size_of::<Escrow>() == 4880);
const _: () = assert!(core::mem::offset_of!(Escrow, roots) == 784);
const _: () = assert!(core::mem::size_of::<Slot>() == 96);
const _: () = assert!(core::mem::size_of::<Page>() == 10_184);
