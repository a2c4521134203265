//! Creating the escrow, its pages, and accounts in them.

use core::mem::size_of;

use crate::error::{Error, Outcome};
use crate::events;
use crate::programs::{create, Creation, initialize_token_account, must_be, must_be_mint, SYSTEM, TOKEN, TOKEN_ACCOUNT_BYTES};
use crate::reader::Reader;
use crate::runtime::{find_program_address, Account, Context, Key, Seed};
use crate::state::{Escrow, Page, SLOTS};

const TREASURY_ACCOUNT: u64 = 1;
const INSURANCE_ACCOUNT: u64 = 2;

/// Accounts: escrow (w), vault (w), page 0 (w), mint, admin (s, w), system program, token program.
/// The escrow's address is derived from its admin, so nobody can take another's place.
pub fn initialize(context: &Context, data: &mut Reader) -> Outcome {
    let (operator, guardian, treasury, insurance) = (data.key()?, data.key()?, data.key()?, data.key()?);
    data.finish()?;
    let (escrow, vault, page) = (context.account(0)?, context.account(1)?, context.account(2)?);
    let (mint, admin) = (context.account(3)?, context.account(4)?);
    admin.must_sign()?;
    must_be(context.account(5)?, &SYSTEM)?;
    must_be(context.account(6)?, &TOKEN)?;
    must_be_mint(mint)?;
    if [operator, guardian, treasury, insurance].contains(&[0; 32]) {
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
    state.admin = *admin.key();
    state.operator = operator;
    state.guardian = guardian;
    state.mint = *mint.key();
    state.vault = *vault.key();
    state.pages = 1;
    state.bump = bump;
    state.vault_bump = vault_bump;
    state.version = 1;
    let first: &mut Page = page.load_new(context)?;
    first.escrow = *escrow.key();
    take_slot(first, &treasury, TREASURY_ACCOUNT)?;
    take_slot(first, &insurance, INSURANCE_ACCOUNT)?;
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
    created.index = index;
    state.pages = index.checked_add(1).ok_or(Error::Overflow)?;
    Ok(())
}

/// Accounts: escrow (w), page (w), operator (s). Takes the page's next slot for `owner`.
pub fn open_account(context: &Context, data: &mut Reader) -> Outcome {
    let (owner, account) = (data.key()?, data.u64()?);
    data.finish()?;
    let state: &mut Escrow = context.account(0)?.load(context)?;
    must_be_operator(state, context.account(2)?)?;
    let page = load_page(context, 1, context.account(0)?)?;
    if owner == [0; 32] || account == 0 {
        return Err(Error::BadArguments);
    }
    let slot = take_slot(page, &owner, account)?;
    events::account_opened(page.index, slot, &owner, account);
    Ok(())
}

pub fn must_be_operator(state: &Escrow, account: &Account) -> Outcome {
    account.must_sign()?;
    if state.operator == *account.key() { Ok(()) } else { Err(Error::NotOperator) }
}

/// The page at `index` of the instruction's accounts, which must belong to this escrow.
pub fn load_page<'a>(context: &'a Context, index: usize, escrow: &Account) -> Result<&'a mut Page, Error> {
    let page: &mut Page = context.account(index)?.load(context)?;
    if page.escrow == *escrow.key() { Ok(page) } else { Err(Error::WrongEscrow) }
}

fn take_slot(page: &mut Page, owner: &Key, account: u64) -> Result<u16, Error> {
    let index = page.used as usize;
    if index >= SLOTS {
        return Err(Error::PageFull);
    }
    if page.slots.iter().take(index).any(|slot| slot.account == account) {
        return Err(Error::AccountExists);
    }
    let slot = &mut page.slots[index];
    slot.owner = *owner;
    slot.account = account;
    page.used += 1;
    Ok(index as u16)
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
