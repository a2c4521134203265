//! The escrow, its pages, and accounts in them: made and given back.

use core::mem::size_of;

use crate::error::{Error, Outcome};
use crate::events::{self, Place};
use crate::governance::must_be_settings;
use crate::programs::{create, Creation, initialize_token_account, must_be, must_be_mint, SYSTEM, TOKEN, TOKEN_ACCOUNT_BYTES};
use crate::reader::Reader;
use crate::runtime::{find_program_address, Account, Context, Key, Seed};
use crate::state::{Escrow, Page, Settings, Slot, INSURANCE_ACCOUNT, SLOTS, TREASURY_ACCOUNT, UNLIMITED};

/// Accounts: escrow (w), vault (w), page 0 (w), mint, admin (s, w), system program, token program.
/// The escrow's address is derived from its admin, so nobody can take another's place.
pub fn initialize(context: &Context, data: &mut Reader) -> Outcome {
    let (operator, guardian, treasury, insurance) = (data.key()?, data.key()?, data.key()?, data.key()?);
    let limits = data.limits()?;
    data.finish()?;
    let (escrow, vault, page) = (context.account(0)?, context.account(1)?, context.account(2)?);
    let (mint, admin) = (context.account(3)?, context.account(4)?);
    admin.must_sign()?;
    must_be(context.account(5)?, &SYSTEM)?;
    must_be(context.account(6)?, &TOKEN)?;
    must_be_mint(mint)?;
    let settings = Settings { admin: *admin.key(), operator, guardian, limits };
    must_be_settings(&settings)?;
    if [treasury, insurance].contains(&[0; 32]) {
        return Err(Error::BadArguments);
    }
    if *escrow.owner() == *context.program {
        return Err(Error::AlreadyInitialized);
    }
    let escrow_bytes = Creation { payer: admin, target: escrow, size: size_of::<Escrow>() as u64, owner: context.program };
    let bump = create_at(context, &escrow_bytes, &[b"escrow", admin.key(), &[]])?;
    let vault_bytes = Creation { payer: admin, target: vault, size: TOKEN_ACCOUNT_BYTES, owner: &TOKEN };
    let vault_bump = create_at(context, &vault_bytes, &[b"vault", escrow.key(), &[]])?;
    initialize_token_account(vault, mint, escrow.key())?;
    let page_bytes = Creation { payer: admin, target: page, size: size_of::<Page>() as u64, owner: context.program };
    create_at(context, &page_bytes, &[b"page", escrow.key(), &[0; 4]])?;
    let state: &mut Escrow = escrow.load_new(context)?;
    state.creator = *admin.key();
    state.settings = settings;
    state.mint = *mint.key();
    state.vault = *vault.key();
    // No window of any clock, so that the first withdrawal begins one.
    (state.hour.window, state.day.window) = (u32::MAX, u32::MAX);
    state.pages = 1;
    state.bump = bump;
    state.vault_bump = vault_bump;
    state.version = 2;
    let first: &mut Page = page.load_new(context)?;
    first.escrow = *escrow.key();
    first.payer = *admin.key();
    next_slot(first, &treasury, TREASURY_ACCOUNT as u64)?;
    next_slot(first, &insurance, INSURANCE_ACCOUNT as u64)?;
    events::initialized(escrow.key(), mint.key(), &settings);
    events::page_created(escrow.key(), 0, admin.key());
    Ok(())
}

/// Accounts: escrow (w), page (w), operator (s, w), system program. `index` is the number of pages so far.
pub fn create_page(context: &Context, data: &mut Reader) -> Outcome {
    let index = data.u32()?;
    data.finish()?;
    let (escrow, page, operator) = (context.account(0)?, context.account(1)?, context.account(2)?);
    let state: &mut Escrow = escrow.load(context)?;
    must_be_operator(state, operator)?;
    must_be(context.account(3)?, &SYSTEM)?;
    if index != state.pages {
        return Err(Error::PageOutOfOrder);
    }
    let page_bytes = Creation { payer: operator, target: page, size: size_of::<Page>() as u64, owner: context.program };
    create_at(context, &page_bytes, &[b"page", escrow.key(), &index.to_le_bytes()])?;
    let created: &mut Page = page.load_new(context)?;
    created.escrow = *escrow.key();
    created.payer = *operator.key();
    created.index = index;
    // A page of this number may have been closed: it took those batches.
    created.last_batch = state.sealed_batch;
    state.pages = index.checked_add(1).ok_or(Error::Overflow)?;
    events::page_created(escrow.key(), index, operator.key());
    Ok(())
}

/// Accounts: escrow (w), page (w), operator (s), payer (w). The last page, when nobody has a place in it; the rent goes to whoever
/// paid it. Not while a batch is open: it may have settled here.
pub fn close_page(context: &Context, data: &mut Reader) -> Outcome {
    data.finish()?;
    let (escrow, account, payer) = (context.account(0)?, context.account(1)?, context.account(3)?);
    let state: &mut Escrow = escrow.load(context)?;
    must_be_operator(state, context.account(2)?)?;
    let page = load_page(context, 1, escrow)?;
    if state.open_batch != 0 {
        return Err(Error::BatchOpen);
    }
    if page.index == 0 || page.index + 1 != state.pages {
        return Err(Error::PageOutOfOrder);
    }
    let sealed = state.sealed_batch;
    if page.slots.iter().take(page.used as usize).any(|slot| !slot.is_free(sealed)) {
        return Err(Error::PageInUse);
    }
    if page.payer != *payer.key() {
        return Err(Error::WrongPayer);
    }
    state.pages -= 1;
    events::page_closed(escrow.key(), page.index, payer.key());
    account.close(payer)
}

/// Accounts: escrow (w), page (w), operator (s). Takes the page's next slot, which nobody had before, for `owner`.
pub fn open_account(context: &Context, data: &mut Reader) -> Outcome {
    let (owner, account) = (data.key()?, data.u64()?);
    data.finish()?;
    let (_, page) = to_open(context)?;
    let slot = next_slot(page, &owner, account)?;
    events::account_opened(&Place { escrow: context.account(0)?.key(), page: page.index, slot }, &owner, account as u32);
    Ok(())
}

/// Accounts: escrow (w), page (w), operator (s). Gives the slot of a closed account to `owner`. The operator names it, since only he
/// knows whether he has done with the account that had it.
pub fn reuse_slot(context: &Context, data: &mut Reader) -> Outcome {
    let (owner, account, index) = (data.key()?, data.u64()?, data.u16()?);
    data.finish()?;
    let (state, page) = to_open(context)?;
    let slot = page.slots.get(index as usize).ok_or(Error::SlotUnused)?;
    if index as u32 >= page.used {
        return Err(Error::SlotUnused);
    }
    if !slot.is_free(state.sealed_batch) {
        return Err(Error::SlotTaken);
    }
    take_slot(page, index as usize, &owner, account)?;
    events::account_opened(&Place { escrow: context.account(0)?.key(), page: page.index, slot: index }, &owner, account as u32);
    Ok(())
}

#[inline(never)]
fn to_open<'a>(context: &'a Context) -> Result<(&'a mut Escrow, &'a mut Page), Error> {
    let state: &mut Escrow = context.account(0)?.load(context)?;
    must_be_operator(state, context.account(2)?)?;
    Ok((state, load_page(context, 1, context.account(0)?)?))
}

/// Accounts: escrow, page (w), owner (s). The slot is the owner's until the batch after the ones under way is sealed: they may still
/// credit it, and then it stays the owner's until that is taken out.
pub fn close_account(context: &Context, data: &mut Reader) -> Outcome {
    let index = data.u16()?;
    data.finish()?;
    let escrow = context.account(0)?;
    let state: &Escrow = escrow.view(context)?;
    let page = load_page(context, 1, escrow)?;
    let number = page.index;
    let slot = owned_slot(page, index, context.account(2)?)?;
    if slot.account == TREASURY_ACCOUNT || slot.account == INSURANCE_ACCOUNT {
        return Err(Error::AccountReserved);
    }
    if slot.closed_batch != 0 {
        return Err(Error::AccountClosed);
    }
    if slot.balance != 0 {
        return Err(Error::BalanceNotZero);
    }
    let next = state.sealed_batch.max(state.open_batch).checked_add(1).ok_or(Error::Overflow)?;
    slot.closed_batch = u32::try_from(next).map_err(|_| Error::Overflow)?;
    let place = Place { escrow: escrow.key(), page: number, slot: index };
    if slot.exit_at != 0 {
        events::withdrawal_request_cancelled(&place, slot);
    }
    (slot.pending, slot.exit_at) = (0, 0);
    events::account_closed(&place, slot);
    Ok(())
}

pub fn must_be_operator(state: &Escrow, account: &Account) -> Outcome {
    account.must_sign()?;
    if state.settings.operator == *account.key() { Ok(()) } else { Err(Error::NotOperator) }
}

/// The page at `index` of the instruction's accounts, which must belong to this escrow.
pub fn load_page<'a>(context: &'a Context, index: usize, escrow: &Account) -> Result<&'a mut Page, Error> {
    let page: &mut Page = context.account(index)?.load(context)?;
    if page.escrow == *escrow.key() { Ok(page) } else { Err(Error::WrongEscrow) }
}

/// Slot `index`, whose owner must be `owner` and have signed.
pub fn owned_slot<'a>(page: &'a mut Page, index: u16, owner: &Account) -> Result<&'a mut Slot, Error> {
    owner.must_sign()?;
    if index as u32 >= page.used {
        return Err(Error::SlotUnused);
    }
    let slot = page.slots.get_mut(index as usize).ok_or(Error::SlotUnused)?;
    if slot.owner == *owner.key() { Ok(slot) } else { Err(Error::NotSlotOwner) }
}

impl Slot {
    /// Closed, empty, and no batch under way that was cut before.
    fn is_free(&self, sealed_batch: u64) -> bool {
        self.closed_batch != 0 && self.balance == 0 && self.closed_batch as u64 <= sealed_batch
    }
}

fn next_slot(page: &mut Page, owner: &Key, account: u64) -> Result<u16, Error> {
    let index = page.used as usize;
    if index >= SLOTS {
        return Err(Error::PageFull);
    }
    take_slot(page, index, owner, account)?;
    page.used += 1;
    Ok(index as u16)
}

#[inline(never)]
fn take_slot(page: &mut Page, index: usize, owner: &Key, account: u64) -> Outcome {
    if *owner == [0; 32] || account == 0 || account > u32::MAX as u64 {
        return Err(Error::BadArguments);
    }
    let account = account as u32;
    if page.slots.iter().take(page.used as usize).any(|slot| slot.account == account) {
        return Err(Error::AccountExists);
    }
    page.set_short(index as u8, false);
    let slot = page.slots.get_mut(index).ok_or(Error::SlotUnused)?;
    // A later withdrawal has a higher number whoever's the slot is, so the last one is kept.
    let last_withdrawal = slot.last_withdrawal;
    *slot = Slot {
        owner: *owner,
        balance: 0,
        pending: 0,
        loss_used: 0,
        unapplied: 0,
        account,
        last_withdrawal,
        exit_at: 0,
        loss_limit: UNLIMITED,
        loss_window: 0,
        next_limit: 0,
        next_limit_at: 0,
        closed_batch: 0,
    };
    Ok(())
}

fn create_at(context: &Context, creation: &Creation, seeds: &[&[u8]; 3]) -> Result<u8, Error> {
    let [first, second, third] = seeds.map(Seed::new);
    let found = [first, second, third];
    let (address, bump) = find_program_address(&found, context.program).ok_or(Error::WrongAddress)?;
    if address != *creation.target.key() {
        return Err(Error::WrongAddress);
    }
    if !creation.target.writable {
        return Err(Error::NotWritable);
    }
    let [first, second, third] = found;
    create(creation, &[first, second, third, Seed::new(&[bump])])?;
    Ok(bump)
}
