//! Layouts of the program's accounts. Fixed size, little-endian, no padding: the IDL's Borsh layout is the same bytes.

use crate::discriminators as d;
use crate::runtime::Key;

/// Slots in a page. The largest allowed deltas of all of them fit one transaction of 1,232 bytes.
pub const SLOTS: usize = 110;
/// Bytes of a delta at most: seven 7-bit groups, so magnitudes stay below 2^48.
pub const DELTA_BYTES: u32 = 7;
/// Micro-USDC that the escrow takes in all its life, so that every sum of them fits 63 bits wherever it is kept.
pub const DEPOSITS_MAX: u64 = (1 << 62) - 1;
/// Roots of sealed batches kept, at index `id % ROOTS`.
pub const ROOTS: usize = 128;

/// Account data that starts with a discriminator of its own.
pub trait Layout {
    const DISCRIMINATOR: [u8; 8];
}

/// The escrow: who may do what, the open batch, running totals.
#[repr(C)]
pub struct Escrow {
    pub discriminator: [u8; 8],
    pub admin: Key,
    pub operator: Key,
    pub guardian: Key,
    pub mint: Key,
    pub vault: Key,
    /// Last sealed batch.
    pub sealed_batch: u64,
    /// The batch being settled, or 0.
    pub open_batch: u64,
    /// What the open batch took from pages and has not given to others yet.
    pub clearing: u64,
    /// Sum of the magnitudes of the open batch's deltas.
    pub gross: u64,
    pub deposits: u64,
    pub withdrawals: u64,
    pub deposit_count: u64,
    pub pages: u32,
    pub pages_total: u32,
    pub pages_settled: u32,
    pub bump: u8,
    pub vault_bump: u8,
    /// Reserved for a pause of settlement.
    pub paused: u8,
    pub version: u8,
    /// Root of the open batch.
    pub root: [u8; 32],
    /// Reserved for the exit delay, outflow limits, and pending proposals.
    pub reserved: [u8; 512],
    pub roots: [[u8; 32]; ROOTS],
}

impl Layout for Escrow {
    const DISCRIMINATOR: [u8; 8] = d::ESCROW;
}

/// One agent's place in a page. Unused while `account` is 0.
#[repr(C)]
pub struct Slot {
    pub owner: Key,
    /// The account's number on the network.
    pub account: u64,
    pub balance: u64,
    /// Reserved for exits: amount asked for.
    pub pending: u64,
    /// Reserved: most that settlement may take within a window.
    pub loss_limit: u64,
    pub loss_used: u64,
    /// Number of the last co-signed withdrawal; a later one has a higher number.
    pub last_withdrawal: u64,
    /// Reserved: when the exit was asked for, and when the loss window began (seconds).
    pub pending_since: u32,
    pub loss_window: u32,
}

/// A page of slots: one account lock, one transaction to settle.
#[repr(C)]
pub struct Page {
    pub discriminator: [u8; 8],
    pub escrow: Key,
    /// The last batch that this page took: makes each page exactly-once.
    pub last_batch: u64,
    pub index: u32,
    pub used: u32,
    pub reserved: [u8; 16],
    pub slots: [Slot; SLOTS],
}

impl Layout for Page {
    const DISCRIMINATOR: [u8; 8] = d::PAGE;
}

const _: () = assert!(core::mem::size_of::<Escrow>() == 4880);
const _: () = assert!(core::mem::size_of::<Slot>() == 88);
const _: () = assert!(core::mem::size_of::<Page>() == 9752);
