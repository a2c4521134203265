//! Money in and out.

use crate::accounts::{load_page, must_be_operator};
use crate::error::{Error, Outcome};
use crate::events::{deposited, withdrawn, Movement};
use crate::programs::{must_be, token_owner, transfer, Transfer, TOKEN};
use crate::reader::Reader;
use crate::runtime::{program_address, Context, Seed};
use crate::state::{Escrow, Page, Slot, DEPOSITS_MAX};

/// Accounts: escrow (w), page (w), owner (s), owner's token account (w), vault (w), token program.
pub fn deposit(context: &Context, data: &mut Reader) -> Outcome {
    let (index, amount) = (data.u16()?, data.u64()?);
    data.finish()?;
    let (escrow, owner, source, vault) =
        (context.account(0)?, context.account(2)?, context.account(3)?, context.account(4)?);
    let state: &mut Escrow = escrow.load(context)?;
    let page = load_page(context, 1, escrow)?;
    owner.must_sign()?;
    must_be(context.account(5)?, &TOKEN)?;
    let number = page.index;
    let slot = used_slot(page, index)?;
    if slot.owner != *owner.key() {
        return Err(Error::NotSlotOwner);
    }
    if state.vault != *vault.key() {
        return Err(Error::WrongVault);
    }
    token_owner(source, &state.mint)?;
    if amount == 0 {
        return Err(Error::ZeroAmount);
    }
    if source.key() == vault.key() {
        return Err(Error::WrongTokenAccount);
    }
    slot.balance = slot.balance.checked_add(amount).ok_or(Error::Overflow)?;
    state.deposits = state.deposits.checked_add(amount).ok_or(Error::Overflow)?;
    if state.deposits > DEPOSITS_MAX {
        return Err(Error::Overflow);
    }
    state.deposit_count = state.deposit_count.checked_add(1).ok_or(Error::Overflow)?;
    transfer(&Transfer { from: source, to: vault, authority: owner, amount }, &[])?;
    deposited(&Movement {
        page: number,
        slot: index,
        owner: owner.key(),
        account: slot.account,
        amount,
        number: state.deposit_count,
    });
    Ok(())
}

/// Accounts: escrow (w), page (w), owner (s), operator (s), owner's token account (w), vault (w), token program.
pub fn withdraw(context: &Context, data: &mut Reader) -> Outcome {
    let (index, amount, withdrawal) = (data.u16()?, data.u64()?, data.u64()?);
    data.finish()?;
    let (escrow, owner, target, vault) =
        (context.account(0)?, context.account(2)?, context.account(4)?, context.account(5)?);
    let state: &mut Escrow = escrow.load(context)?;
    let page = load_page(context, 1, escrow)?;
    owner.must_sign()?;
    must_be_operator(state, context.account(3)?)?;
    must_be(context.account(6)?, &TOKEN)?;
    let number = page.index;
    let slot = used_slot(page, index)?;
    if slot.owner != *owner.key() {
        return Err(Error::NotSlotOwner);
    }
    if state.vault != *vault.key() {
        return Err(Error::WrongVault);
    }
    if token_owner(target, &state.mint)? != slot.owner {
        return Err(Error::WrongTokenAccount);
    }
    if amount == 0 {
        return Err(Error::ZeroAmount);
    }
    if withdrawal <= slot.last_withdrawal {
        return Err(Error::WithdrawalRepeated);
    }
    slot.last_withdrawal = withdrawal;
    slot.balance = slot.balance.checked_sub(amount).ok_or(Error::InsufficientBalance)?;
    state.withdrawals = state.withdrawals.checked_add(amount).ok_or(Error::Overflow)?;
    let bump = [state.bump];
    let seeds = [Seed::new(b"escrow"), Seed::new(&state.admin), Seed::new(&bump)];
    if program_address(&seeds, context.program) != Some(*escrow.key()) {
        return Err(Error::WrongAddress);
    }
    transfer(&Transfer { from: vault, to: target, authority: escrow, amount }, &seeds)?;
    withdrawn(&Movement {
        page: number,
        slot: index,
        owner: owner.key(),
        account: slot.account,
        amount,
        number: withdrawal,
    });
    Ok(())
}

fn used_slot(page: &mut Page, index: u16) -> Result<&mut Slot, Error> {
    if index as u32 >= page.used {
        return Err(Error::SlotUnused);
    }
    page.slots.get_mut(index as usize).ok_or(Error::SlotUnused)
}
