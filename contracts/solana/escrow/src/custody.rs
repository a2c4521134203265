//! Money in, and out with the operator's consent.

use crate::accounts::{load_page, must_be_operator, owned_slot};
use crate::error::{Error, Outcome};
use crate::events::{deposited, withdrawn, Movement, Place};
use crate::programs::{must_be, token_owner, transfer, Transfer, TOKEN};
use crate::reader::Reader;
use crate::runtime::{now, program_address, Context, Seed};
use crate::state::{Escrow, DEPOSITS_MAX};

/// Accounts: escrow (w), page (w), owner (s), owner's token account (w), vault (w), token program.
pub fn deposit(context: &Context, data: &mut Reader) -> Outcome {
    let (index, amount) = (data.u16()?, data.u64()?);
    data.finish()?;
    let (escrow, owner, source, vault) =
        (context.account(0)?, context.account(2)?, context.account(3)?, context.account(4)?);
    let state: &mut Escrow = escrow.load(context)?;
    let page = load_page(context, 1, escrow)?;
    must_be(context.account(5)?, &TOKEN)?;
    let number = page.index;
    let slot = owned_slot(page, index, owner)?;
    if slot.closed_batch != 0 {
        return Err(Error::AccountClosed);
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
        place: Place { escrow: escrow.key(), page: number, slot: index },
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
    let (escrow, owner) = (context.account(0)?, context.account(2)?);
    let state: &mut Escrow = escrow.load(context)?;
    let page = load_page(context, 1, escrow)?;
    must_be_operator(state, context.account(3)?)?;
    let number = page.index;
    let slot = owned_slot(page, index, owner)?;
    if amount == 0 {
        return Err(Error::ZeroAmount);
    }
    let withdrawal = u32::try_from(withdrawal).map_err(|_| Error::BadArguments)?;
    if withdrawal <= slot.last_withdrawal {
        return Err(Error::WithdrawalRepeated);
    }
    slot.last_withdrawal = withdrawal;
    slot.balance = slot.balance.checked_sub(amount).ok_or(Error::InsufficientBalance)?;
    state.must_flow_out(amount, now()?)?;
    state.withdrawals = state.withdrawals.checked_add(amount).ok_or(Error::Overflow)?;
    pay_out(context, state, 4, amount)?;
    withdrawn(&Movement {
        place: Place { escrow: escrow.key(), page: number, slot: index },
        owner: owner.key(),
        account: slot.account,
        amount,
        number: withdrawal as u64,
    });
    Ok(())
}

/// Tokens from the vault to the owner, account 2: `first` is the place of the owner's token account, before vault and token program.
pub fn pay_out(context: &Context, state: &Escrow, first: usize, amount: u64) -> Outcome {
    let (escrow, owner) = (context.account(0)?, context.account(2)?);
    let (target, vault) = (context.account(first)?, context.account(first + 1)?);
    must_be(context.account(first + 2)?, &TOKEN)?;
    if state.vault != *vault.key() {
        return Err(Error::WrongVault);
    }
    if token_owner(target, &state.mint)? != *owner.key() {
        return Err(Error::WrongTokenAccount);
    }
    let bump = [state.bump];
    let seeds = [Seed::new(b"escrow"), Seed::new(&state.creator), Seed::new(&bump)];
    if program_address(&seeds, context.program) != Some(*escrow.key()) {
        return Err(Error::WrongAddress);
    }
    transfer(&Transfer { from: vault, to: target, authority: escrow, amount }, &seeds)
}
