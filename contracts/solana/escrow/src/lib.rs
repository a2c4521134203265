//! The escrow: one vault of USDC, agents' balances in pages, batches that settle a whole page in one transaction.
//!
//! Anchor-compatible on the wire (8-byte discriminators, Borsh arguments, events as logged data), without a dependency.
//! `runtime` is the only file with `unsafe`.
#![no_std]
#![deny(unsafe_code)]

mod accounts;
mod batches;
mod custody;
mod deltas;
mod discriminators;
mod error;
mod events;
mod exits;
mod governance;
mod limits;
mod programs;
mod reader;
mod runtime;
mod state;

use discriminators as d;
use error::{Error, Outcome};
use reader::Reader;
use runtime::Context;

/// Routes an instruction by its discriminator.
pub(crate) fn process(context: &Context) -> Outcome {
    let mut data = Reader::new(context.data);
    let discriminator: [u8; 8] = data.array()?;
    let handler: fn(&Context, &mut Reader) -> Outcome = match discriminator {
        d::SETTLE_PAGE => batches::settle_page,
        d::OPEN_BATCH => batches::open_batch,
        d::SEAL_BATCH => batches::seal_batch,
        d::DEPOSIT => custody::deposit,
        d::WITHDRAW => custody::withdraw,
        d::OPEN_ACCOUNT => accounts::open_account,
        d::REUSE_SLOT => accounts::reuse_slot,
        d::CREATE_PAGE => accounts::create_page,
        d::CLOSE_ACCOUNT => accounts::close_account,
        d::CLOSE_PAGE => accounts::close_page,
        d::REQUEST_WITHDRAWAL => exits::request_withdrawal,
        d::CANCEL_WITHDRAWAL_REQUEST => exits::cancel_withdrawal_request,
        d::CLAIM_WITHDRAWAL => exits::claim_withdrawal,
        d::SET_LOSS_LIMIT => limits::set_loss_limit,
        d::CARRY_BATCH => batches::carry_batch,
        d::ABORT_BATCH => batches::abort_batch,
        d::SET_PAUSE => governance::set_pause,
        d::PROPOSE => governance::propose,
        d::CANCEL_PROPOSAL => governance::cancel_proposal,
        d::EXECUTE_PROPOSAL => governance::execute_proposal,
        d::INITIALIZE => accounts::initialize,
        _ => return Err(Error::UnknownInstruction),
    };
    handler(context, &mut data)
}
