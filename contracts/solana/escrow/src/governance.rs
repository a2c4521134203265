//! What the guardian and the admin can do: pause settlement; propose settings that apply later than anyone needs to leave.

use crate::error::{Error, Outcome};
use crate::events;
use crate::programs::must_be_recent;
use crate::reader::Reader;
use crate::runtime::{now, Context};
use crate::state::{Escrow, Settings};

/// Seconds for which a proposal that is ready can be executed: one that was forgotten must not lie in wait.
const GRACE: u32 = 7 * 86_400;

/// Accounts: escrow (w), guardian (s). Stops batches, and nothing that lets money out.
pub fn set_pause(context: &Context, data: &mut Reader) -> Outcome {
    let [paused] = data.array::<1>()?;
    data.finish()?;
    let state: &mut Escrow = context.account(0)?.load(context)?;
    let guardian = context.account(1)?;
    guardian.must_sign()?;
    if state.settings.guardian != *guardian.key() {
        return Err(Error::NotGuardian);
    }
    if paused > 1 {
        return Err(Error::BadArguments);
    }
    state.paused = paused;
    events::pause_set(context.account(0)?.key(), paused);
    Ok(())
}

/// Accounts: escrow (w), admin (s), instructions. The whole of the settings as they will be, visible here until then. Not by a
/// transaction on a durable nonce, which could have been signed at any time, and be sent when nobody thinks of it any more.
pub fn propose(context: &Context, data: &mut Reader) -> Outcome {
    let settings = data.settings()?;
    data.finish()?;
    let state = admins(context)?;
    must_be_recent(context.account(2)?)?;
    must_be_settings(&settings)?;
    if state.proposal_ready != 0 {
        return Err(Error::ProposalPending);
    }
    state.proposal_ready = now()?.checked_add(state.settings.limits.timelock).ok_or(Error::Overflow)?;
    state.proposals = state.proposals.checked_add(1).ok_or(Error::Overflow)?;
    state.proposal = settings;
    events::proposed(context.account(0)?.key(), state.proposals, state.proposal_ready, &settings);
    Ok(())
}

/// Accounts: escrow (w), admin (s).
pub fn cancel_proposal(context: &Context, data: &mut Reader) -> Outcome {
    data.finish()?;
    let state = admins(context)?;
    if state.proposal_ready == 0 {
        return Err(Error::NoProposal);
    }
    state.proposal_ready = 0;
    events::proposal_cancelled(context.account(0)?.key(), state.proposals);
    Ok(())
}

/// Accounts: escrow (w). Anyone, once the timelock has run out and until the grace has.
pub fn execute_proposal(context: &Context, data: &mut Reader) -> Outcome {
    data.finish()?;
    let state: &mut Escrow = context.account(0)?.load(context)?;
    let (ready, now) = (state.proposal_ready, now()?);
    if ready == 0 {
        return Err(Error::NoProposal);
    }
    if now < ready {
        return Err(Error::ProposalNotReady);
    }
    if now - ready > GRACE {
        return Err(Error::ProposalLapsed);
    }
    state.settings = state.proposal;
    state.proposal_ready = 0;
    events::proposal_executed(context.account(0)?.key(), state.proposals, &state.settings);
    Ok(())
}

pub fn must_be_settings(settings: &Settings) -> Outcome {
    if [settings.admin, settings.operator, settings.guardian].contains(&[0; 32]) {
        return Err(Error::BadArguments);
    }
    settings.limits.must_be_sound()
}

fn admins<'a>(context: &'a Context) -> Result<&'a mut Escrow, Error> {
    let state: &mut Escrow = context.account(0)?.load(context)?;
    let admin = context.account(1)?;
    admin.must_sign()?;
    if state.settings.admin == *admin.key() { Ok(state) } else { Err(Error::NotAdmin) }
}
