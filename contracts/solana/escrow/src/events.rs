//! Events: what clients read from the logs. Every change of state has one, and each begins with the escrow's key: the program is anyone's
//! to use, and what happens in a stranger's escrow must not look like ours.

use crate::deltas::Settling;
use crate::discriminators as d;
use crate::runtime::{log_event, Key};
use crate::state::{Escrow, Page, Settings, Slot, SHORT_BYTES, SLOTS};

/// A fixed-size byte buffer that fields are written to in order.
struct Writer<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Writer<N> {
    #[inline(always)]
    fn new(discriminator: &[u8; 8], escrow: &Key) -> Self {
        Writer { bytes: [0; N], length: 0 }.put(discriminator).put(escrow)
    }

    #[inline(always)]
    fn put<const M: usize>(mut self, field: &[u8; M]) -> Self {
        self.add(field);
        self
    }

    #[inline(always)]
    fn add<const M: usize>(&mut self, field: &[u8; M]) {
        if let Some(place) = self.bytes.get_mut(self.length..self.length + M) {
            place.copy_from_slice(field);
        }
        self.length += M;
    }

    #[inline(always)]
    fn put_settings(self, settings: &Settings) -> Self {
        let limits = &settings.limits;
        self.put(&settings.admin)
            .put(&settings.operator)
            .put(&settings.guardian)
            .put(&limits.hour_floor.to_le_bytes())
            .put(&limits.day_floor.to_le_bytes())
            .put(&limits.hour_share.to_le_bytes())
            .put(&limits.day_share.to_le_bytes())
            .put(&limits.exit_delay.to_le_bytes())
            .put(&limits.timelock.to_le_bytes())
            .put(&limits.loss_window.to_le_bytes())
            .put(&limits.limit_delay.to_le_bytes())
    }

    fn log(self) {
        log_event(self.bytes.get(..self.length).unwrap_or(&self.bytes));
    }
}

/// Which slot an event is about.
pub struct Place<'a> {
    pub escrow: &'a Key,
    pub page: u32,
    pub slot: u16,
}

pub struct Movement<'a> {
    pub place: Place<'a>,
    pub owner: &'a Key,
    pub account: u32,
    pub amount: u64,
    /// Number of the deposit or of the withdrawal; of an exit, what was asked for.
    pub number: u64,
}

pub fn deposited(movement: &Movement) {
    moved(&d::DEPOSITED, movement);
}

pub fn withdrawn(movement: &Movement) {
    moved(&d::WITHDRAWN, movement);
}

pub fn withdrawal_claimed(movement: &Movement) {
    moved(&d::WITHDRAWAL_CLAIMED, movement);
}

fn moved(discriminator: &[u8; 8], movement: &Movement) {
    placed::<102>(discriminator, &movement.place, movement.owner, movement.account)
        .put(&movement.amount.to_le_bytes())
        .put(&movement.number.to_le_bytes())
        .log();
}

/// What every event about one account begins with.
#[inline(always)]
fn placed<const N: usize>(discriminator: &[u8; 8], place: &Place, owner: &Key, account: u32) -> Writer<N> {
    Writer::<N>::new(discriminator, place.escrow)
        .put(&place.page.to_le_bytes())
        .put(&place.slot.to_le_bytes())
        .put(owner)
        .put(&(account as u64).to_le_bytes())
}

pub fn initialized(escrow: &Key, mint: &Key, settings: &Settings) {
    Writer::<208>::new(&d::INITIALIZED, escrow).put(mint).put_settings(settings).log();
}

pub fn page_created(escrow: &Key, page: u32, payer: &Key) {
    Writer::<76>::new(&d::PAGE_CREATED, escrow).put(&page.to_le_bytes()).put(payer).log();
}

pub fn page_closed(escrow: &Key, page: u32, payer: &Key) {
    Writer::<76>::new(&d::PAGE_CLOSED, escrow).put(&page.to_le_bytes()).put(payer).log();
}

pub fn account_opened(place: &Place, owner: &Key, account: u32) {
    placed::<86>(&d::ACCOUNT_OPENED, place, owner, account).log();
}

pub fn account_closed(place: &Place, slot: &Slot) {
    placed::<94>(&d::ACCOUNT_CLOSED, place, &slot.owner, slot.account)
        .put(&(slot.closed_batch as u64).to_le_bytes())
        .log();
}

pub fn withdrawal_requested(place: &Place, slot: &Slot) {
    asked(&d::WITHDRAWAL_REQUESTED, place, slot);
}

pub fn withdrawal_request_cancelled(place: &Place, slot: &Slot) {
    asked(&d::WITHDRAWAL_REQUEST_CANCELLED, place, slot);
}

fn asked(discriminator: &[u8; 8], place: &Place, slot: &Slot) {
    placed::<98>(discriminator, place, &slot.owner, slot.account)
        .put(&slot.pending.to_le_bytes())
        .put(&slot.exit_at.to_le_bytes())
        .log();
}

pub fn loss_limit_set(place: &Place, slot: &Slot, limit: u32, effective_at: u32) {
    placed::<94>(&d::LOSS_LIMIT_SET, place, &slot.owner, slot.account)
        .put(&limit.to_le_bytes())
        .put(&effective_at.to_le_bytes())
        .log();
}

pub fn batch_opened(escrow: &Key, id: u64, root: &[u8; 32], pages: u32) {
    Writer::<84>::new(&d::BATCH_OPENED, escrow).put(&id.to_le_bytes()).put(root).put(&pages.to_le_bytes()).log();
}

pub fn batch_aborted(escrow: &Key, id: u64) {
    Writer::<48>::new(&d::BATCH_ABORTED, escrow).put(&id.to_le_bytes()).log();
}

/// The page's sums and marks, and when somebody was short, who and by how much.
pub fn page_settled(escrow: &Key, id: u64, page: &Page, settling: &Settling) {
    // In place: a chain of `put` moves the whole buffer each time, and every page pays for that.
    let mut event = Writer::<{ 84 + SHORT_BYTES }>::new(&d::PAGE_SETTLED, escrow);
    event.add(&id.to_le_bytes());
    event.add(&page.index.to_le_bytes());
    event.add(&settling.debits.to_le_bytes());
    event.add(&settling.credits.to_le_bytes());
    event.add(&settling.shortfall.to_le_bytes());
    event.add(&settling.withheld.to_le_bytes());
    event.add(&page.short);
    event.log();
    if settling.short > 0 {
        page_short(escrow, id, page.index, settling);
    }
}

#[inline(never)]
fn page_short(escrow: &Key, id: u64, page: u32, settling: &Settling) {
    let mut event = Writer::<{ 56 + 9 * SLOTS }>::new(&d::PAGE_SHORT, escrow)
        .put(&id.to_le_bytes())
        .put(&page.to_le_bytes())
        .put(&settling.short.to_le_bytes());
    for (slot, amount) in settling.shorts.iter().enumerate() {
        if *amount != 0 {
            event.add(&[slot as u8]);
            event.add(&amount.to_le_bytes());
        }
    }
    event.log();
}

pub fn batch_sealed(escrow: &Key, state: &Escrow) {
    Writer::<100>::new(&d::BATCH_SEALED, escrow)
        .put(&state.sealed_batch.to_le_bytes())
        .put(&state.root)
        .put(&state.pages_total.to_le_bytes())
        .put(&state.gross.to_le_bytes())
        .put(&state.shortfall.to_le_bytes())
        .log();
}

pub fn batch_carried(escrow: &Key, state: &Escrow) {
    Writer::<56>::new(&d::BATCH_CARRIED, escrow).put(&state.sealed_batch.to_le_bytes()).put(&state.clearing.to_le_bytes()).log();
}

pub fn pause_set(escrow: &Key, paused: u8) {
    Writer::<41>::new(&d::PAUSE_SET, escrow).put(&[paused]).log();
}

pub fn proposed(escrow: &Key, number: u32, ready: u32, settings: &Settings) {
    Writer::<184>::new(&d::PROPOSED, escrow).put(&number.to_le_bytes()).put(&ready.to_le_bytes()).put_settings(settings).log();
}

pub fn proposal_cancelled(escrow: &Key, number: u32) {
    Writer::<44>::new(&d::PROPOSAL_CANCELLED, escrow).put(&number.to_le_bytes()).log();
}

pub fn proposal_executed(escrow: &Key, number: u32, settings: &Settings) {
    Writer::<180>::new(&d::PROPOSAL_EXECUTED, escrow).put(&number.to_le_bytes()).put_settings(settings).log();
}
