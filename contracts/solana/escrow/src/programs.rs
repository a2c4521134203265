//! Calls to the system and token programs.

use crate::error::{Error, Outcome};
use crate::runtime::{invoke, rent_exempt, Account, Key, Seed};

pub const SYSTEM: Key = [0; 32];
pub const TOKEN: Key = [
    6, 221, 246, 225, 215, 101, 161, 147, 217, 203, 225, 70, 206, 235, 121, 172, 28, 180, 133, 237, 95, 91, 55, 145, 58, 140,
    245, 133, 126, 255, 0, 169,
];
/// Sysvar1nstructions1111111111111111111111111
pub const INSTRUCTIONS: Key = [
    6, 167, 213, 23, 24, 123, 209, 102, 53, 218, 212, 4, 85, 253, 194, 192, 193, 36, 198, 143, 33, 86, 117, 165, 219, 186, 203,
    95, 8, 0, 0, 0,
];
/// The system program's instruction that makes a transaction's signatures last for ever.
const ADVANCE_NONCE: [u8; 4] = [4, 0, 0, 0];
pub const TOKEN_ACCOUNT_BYTES: u64 = 165;
const MINT_BYTES: usize = 82;

pub fn must_be(account: &Account, program: &Key) -> Outcome {
    if account.key() == program { Ok(()) } else { Err(Error::WrongProgram) }
}

/// A token account of `mint`, and who owns it.
pub fn token_owner(account: &Account, mint: &Key) -> Result<Key, Error> {
    let data = account.data();
    if *account.owner() != TOKEN || data.len() as u64 != TOKEN_ACCOUNT_BYTES {
        return Err(Error::WrongTokenAccount);
    }
    if data.first_chunk::<32>() != Some(mint) {
        return Err(Error::WrongMint);
    }
    match data.get(32..64).and_then(|owner| owner.first_chunk::<32>()) {
        Some(owner) => Ok(*owner),
        None => Err(Error::WrongTokenAccount),
    }
}

pub fn must_be_mint(account: &Account) -> Outcome {
    if *account.owner() == TOKEN && account.data().len() == MINT_BYTES { Ok(()) } else { Err(Error::WrongMint) }
}

/// An account to be created: who pays, where, how many bytes, for which program.
pub struct Creation<'a> {
    pub payer: &'a Account,
    pub target: &'a Account,
    pub size: u64,
    pub owner: &'a Key,
}

/// Create an account at an address of this program, also when somebody sent lamports there before.
pub fn create(creation: &Creation, seeds: &[Seed]) -> Outcome {
    let (target, size) = (creation.target, creation.size);
    let missing = rent_exempt(size)?.saturating_sub(target.lamports());
    if missing > 0 {
        let mut data = [0; 12];
        data[0] = 2;
        data[4..].copy_from_slice(&missing.to_le_bytes());
        invoke(&SYSTEM, [(creation.payer, true, true), (target, true, false)], &data, &[])?;
    }
    let mut allocate = [0; 12];
    allocate[0] = 8;
    allocate[4..].copy_from_slice(&size.to_le_bytes());
    invoke(&SYSTEM, [(target, true, true)], &allocate, seeds)?;
    let mut assign = [0; 36];
    assign[0] = 1;
    assign[4..].copy_from_slice(creation.owner);
    invoke(&SYSTEM, [(target, true, true)], &assign, seeds)
}

pub fn initialize_token_account(account: &Account, mint: &Account, owner: &Key) -> Outcome {
    let mut data = [18; 33];
    data[1..].copy_from_slice(owner);
    invoke(&TOKEN, [(account, true, false), (mint, false, false)], &data, &[])
}

/// Tokens to be moved.
pub struct Transfer<'a> {
    pub from: &'a Account,
    pub to: &'a Account,
    pub authority: &'a Account,
    pub amount: u64,
}

pub fn transfer(transfer: &Transfer, seeds: &[Seed]) -> Outcome {
    let mut data = [3; 9];
    data[1..].copy_from_slice(&transfer.amount.to_le_bytes());
    let metas = [(transfer.from, true, false), (transfer.to, true, false), (transfer.authority, false, true)];
    invoke(&TOKEN, metas, &data, seeds)
}

/// Refuse a transaction whose signatures were made for any time: what was signed long ago must not surprise anyone.
/// `account` is the system's view of the transaction: the first instruction of a transaction on a durable nonce advances it.
pub fn must_be_recent(account: &Account) -> Outcome {
    must_be(account, &INSTRUCTIONS)?;
    let data = account.data();
    let at = number_at(data, 2)?;
    let program = at + 2 + 33 * number_at(data, at)?;
    let bytes = program + 34;
    let by_system = data.get(program..program + 32) == Some(&SYSTEM);
    if by_system && number_at(data, program + 32)? >= 4 && data.get(bytes..bytes + 4) == Some(&ADVANCE_NONCE) {
        return Err(Error::DurableNonce);
    }
    Ok(())
}

fn number_at(data: &[u8], at: usize) -> Result<usize, Error> {
    match data.get(at..at + 2).and_then(|bytes| bytes.first_chunk::<2>()) {
        Some(bytes) => Ok(u16::from_le_bytes(*bytes) as usize),
        None => Err(Error::WrongProgram),
    }
}
