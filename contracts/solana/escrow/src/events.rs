//! Events: what clients read from the logs.

use crate::discriminators as d;
use crate::runtime::{log_event, Key};

/// A fixed-size byte buffer that fields are written to in order.
struct Writer<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Writer<N> {
    fn new(discriminator: &[u8; 8]) -> Self {
        Writer { bytes: [0; N], length: 0 }.put(discriminator)
    }

    fn put<const M: usize>(mut self, field: &[u8; M]) -> Self {
        let mut index = 0;
        while index < M {
            self.bytes[self.length + index] = field[index];
            index += 1;
        }
        self.length += M;
        self
    }
}

pub struct Movement<'a> {
    pub page: u32,
    pub slot: u16,
    pub owner: &'a Key,
    pub account: u64,
    pub amount: u64,
    /// Number of the deposit, or of the withdrawal.
    pub number: u64,
}

pub fn deposited(movement: &Movement) {
    moved(&d::DEPOSITED, movement);
}

pub fn withdrawn(movement: &Movement) {
    moved(&d::WITHDRAWN, movement);
}

fn moved(discriminator: &[u8; 8], movement: &Movement) {
    let event = Writer::<70>::new(discriminator)
        .put(&movement.page.to_le_bytes())
        .put(&movement.slot.to_le_bytes())
        .put(movement.owner)
        .put(&movement.account.to_le_bytes())
        .put(&movement.amount.to_le_bytes())
        .put(&movement.number.to_le_bytes());
    log_event(&event.bytes);
}

pub fn account_opened(page: u32, slot: u16, owner: &Key, account: u64) {
    let event = Writer::<54>::new(&d::ACCOUNT_OPENED)
        .put(&page.to_le_bytes())
        .put(&slot.to_le_bytes())
        .put(owner)
        .put(&account.to_le_bytes());
    log_event(&event.bytes);
}

pub fn batch_opened(id: u64, root: &[u8; 32], pages: u32) {
    let event = Writer::<52>::new(&d::BATCH_OPENED).put(&id.to_le_bytes()).put(root).put(&pages.to_le_bytes());
    log_event(&event.bytes);
}

pub fn page_settled(id: u64, page: u32, debits: u64, credits: u64) {
    let event = Writer::<36>::new(&d::PAGE_SETTLED)
        .put(&id.to_le_bytes())
        .put(&page.to_le_bytes())
        .put(&debits.to_le_bytes())
        .put(&credits.to_le_bytes());
    log_event(&event.bytes);
}

pub fn batch_sealed(id: u64, root: &[u8; 32], pages: u32, gross: u64) {
    let event = Writer::<60>::new(&d::BATCH_SEALED)
        .put(&id.to_le_bytes())
        .put(root)
        .put(&pages.to_le_bytes())
        .put(&gross.to_le_bytes());
    log_event(&event.bytes);
}
