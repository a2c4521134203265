//! The border to the virtual machine: parsing the input, typed views of accounts, system calls. The only `unsafe` of the program.
#![allow(unsafe_code)]

use core::mem::size_of;
use core::slice;

use crate::error::{Error, Outcome};
use crate::state::Layout;

pub type Key = [u8; 32];

/// Accounts an instruction may name; none of ours needs more.
pub const ACCOUNTS_MAX: usize = 12;
/// Room after each account's data in the input.
const GROWTH: usize = 10_240;

mod syscalls {
    use super::{CpiAccount, CpiInstruction, Key, Seed};

    extern "C" {
        pub fn sol_log_data(fields: *const Seed, count: u64);
        pub fn sol_invoke_signed_c(
            instruction: *const CpiInstruction,
            accounts: *const CpiAccount,
            accounts_len: u64,
            signers: *const Seed,
            signers_len: u64,
        ) -> u64;
        pub fn sol_create_program_address(seeds: *const Seed, count: u64, program: *const Key, out: *mut Key) -> u64;
        pub fn sol_try_find_program_address(
            seeds: *const Seed,
            count: u64,
            program: *const Key,
            out: *mut Key,
            bump: *mut u8,
        ) -> u64;
        pub fn sol_get_clock_sysvar(out: *mut [u64; 5]) -> u64;
        pub fn sol_get_rent_sysvar(out: *mut [u64; 3]) -> u64;
        #[cfg(not(test))]
        pub fn sol_panic_(file: *const u8, length: u64, line: u64, column: u64) -> !;
    }
}

/// A byte string as the machine takes it.
#[repr(C)]
pub struct Seed {
    pointer: *const u8,
    length: u64,
}

impl Seed {
    pub fn new(bytes: &[u8]) -> Seed {
        Seed { pointer: bytes.as_ptr(), length: bytes.len() as u64 }
    }
}

#[repr(C)]
struct CpiMeta {
    key: *const Key,
    writable: bool,
    signer: bool,
}

#[repr(C)]
struct CpiInstruction {
    program: *const Key,
    metas: *const CpiMeta,
    metas_len: u64,
    data: *const u8,
    data_len: u64,
}

#[repr(C)]
struct CpiAccount {
    key: *const Key,
    lamports: *mut u64,
    data_len: u64,
    data: *mut u8,
    owner: *const Key,
    rent_epoch: u64,
    signer: bool,
    writable: bool,
    executable: bool,
}

/// One account of the instruction.
#[derive(Clone, Copy)]
pub struct Account {
    key: *const Key,
    owner: *const Key,
    lamports: *mut u64,
    data: *mut u8,
    pub signer: bool,
    pub writable: bool,
}

impl Account {
    pub fn key(&self) -> &Key {
        // SAFETY: points into the input, which outlives the instruction.
        unsafe { &*self.key }
    }

    pub fn owner(&self) -> &Key {
        // SAFETY: points into the input; the machine writes it only during a CPI, while no reference is held.
        unsafe { &*self.owner }
    }

    pub fn lamports(&self) -> u64 {
        // SAFETY: points into the input, 8-aligned by its format.
        unsafe { *self.lamports }
    }

    /// Length of the data as it is now: the machine rewrites it before the data when a call allocates.
    fn length(&self) -> usize {
        // SAFETY: the input holds the length in the eight aligned bytes before the data.
        unsafe { *(self.data.sub(8) as *const u64) as usize }
    }

    /// The data as it is, for accounts of other programs.
    pub fn data(&self) -> &[u8] {
        // SAFETY: the input holds `length()` bytes there, and only `load` hands out writable views, of our own accounts.
        unsafe { slice::from_raw_parts(self.data, self.length()) }
    }

    pub fn must_sign(&self) -> Outcome {
        if self.signer { Ok(()) } else { Err(Error::MissingSignature) }
    }

    /// An account of this program: ownership, size and discriminator checked.
    fn checked<T: Layout>(&self, context: &Context) -> Result<*mut T, Error> {
        if *self.owner() != *context.program {
            return Err(Error::WrongOwner);
        }
        if self.length() != size_of::<T>() {
            return Err(Error::WrongSize);
        }
        if self.data().first_chunk::<8>() != Some(&T::DISCRIMINATOR) {
            return Err(Error::WrongDiscriminator);
        }
        Ok(self.data as *mut T)
    }

    /// A view of an account of this program that the instruction only reads.
    pub fn view<'a, T: Layout>(&self, context: &'a Context) -> Result<&'a T, Error> {
        // SAFETY: as in `load`.
        Ok(unsafe { &*self.checked(context)? })
    }

    /// A writable view of an account of this program.
    pub fn load<'a, T: Layout>(&self, context: &'a Context) -> Result<&'a mut T, Error> {
        let view = self.checked(context)?;
        if !self.writable {
            return Err(Error::NotWritable);
        }
        // SAFETY: size checked; the input aligns data to 8 bytes and every layout is repr(C) of integers and byte arrays, for which
        // all bit patterns are valid. No handler loads two accounts of one layout, and discriminators differ between layouts,
        // so no two views overlap.
        Ok(unsafe { &mut *view })
    }

    /// A writable view of an account that this instruction has just created: zeroed, of this size, owned by this program.
    pub fn load_new<'a, T: Layout>(&self, context: &'a Context) -> Result<&'a mut T, Error> {
        if *self.owner() != *context.program || self.length() != size_of::<T>() {
            return Err(Error::WrongSize);
        }
        // SAFETY: as in `load`; the room for growth after the data holds the new bytes, and they are zero.
        let view = unsafe { &mut *(self.data as *mut T) };
        // SAFETY: every layout begins with its discriminator.
        unsafe { *(self.data as *mut [u8; 8]) = T::DISCRIMINATOR };
        Ok(view)
    }
}

impl Account {
    /// Give up an account of this program, its lamports to `payer`: nothing of it is left, whatever else the transaction does.
    /// No view of it may be used afterwards.
    pub fn close(&self, payer: &Account) -> Outcome {
        if !payer.writable {
            return Err(Error::NotWritable);
        }
        let sum = payer.lamports().checked_add(self.lamports()).ok_or(Error::Overflow)?;
        // SAFETY: all of it points into the input. An account without data may be assigned to another program, as the system's.
        unsafe {
            *payer.lamports = sum;
            *self.lamports = 0;
            *(self.data.sub(8) as *mut u64) = 0;
            *(self.owner as *mut Key) = crate::programs::SYSTEM;
        }
        Ok(())
    }
}

/// The instruction: its accounts, its data, the program's own address.
pub struct Context<'a> {
    accounts: [Option<Account>; ACCOUNTS_MAX],
    pub data: &'a [u8],
    pub program: &'a Key,
}

impl Context<'_> {
    pub fn account(&self, index: usize) -> Result<&Account, Error> {
        match self.accounts.get(index) {
            Some(Some(account)) => Ok(account),
            _ => Err(Error::MissingAccount),
        }
    }
}

/// Address of `seeds` (bump included) under `program`, or None when they give none.
pub fn program_address(seeds: &[Seed], program: &Key) -> Option<Key> {
    let mut address = [0; 32];
    // SAFETY: all pointers and lengths come from live references.
    let code = unsafe { syscalls::sol_create_program_address(seeds.as_ptr(), seeds.len() as u64, program, &mut address) };
    if code == 0 { Some(address) } else { None }
}

/// Address and bump of `seeds` under `program`.
pub fn find_program_address(seeds: &[Seed], program: &Key) -> Option<(Key, u8)> {
    let (mut address, mut bump) = ([0; 32], 0);
    // SAFETY: all pointers and lengths come from live references.
    let code = unsafe {
        syscalls::sol_try_find_program_address(seeds.as_ptr(), seeds.len() as u64, program, &mut address, &mut bump)
    };
    if code == 0 { Some((address, bump)) } else { None }
}

/// Exemption thresholds of the Rent variable, as the bits of the floats that they are: the machine has no floats.
const ONE: u64 = 0x3FF0_0000_0000_0000;
const TWO: u64 = 0x4000_0000_0000_0000;

/// Lamports that keep an account of `size` bytes: bytes times the cluster's rate times its exemption threshold.
///
/// The threshold was 2 years from the beginning, and SIMD-0194 has made it 1 for good, the rate then being the whole price. Any other
/// is refused: the network plans none, a guess below it would not create the account and one above would cost the payer, and no owner
/// needs an account created to leave.
pub fn rent_exempt(size: u64) -> Result<u64, Error> {
    let mut rent = [0; 3];
    // SAFETY: the system variable has 17 bytes; 24 are given.
    let code = unsafe { syscalls::sol_get_rent_sysvar(&mut rent) };
    if code != 0 {
        return Err(Error::CpiFailed);
    }
    let [rate, threshold, _] = rent;
    let times = match threshold {
        ONE => 1,
        TWO => 2,
        _ => return Err(Error::RentUnknown),
    };
    // Bounds first, then plain products: the machine has no 128-bit multiplication to detect overflow with.
    if size > 1 << 20 || rate > 1 << 40 {
        return Err(Error::Overflow);
    }
    Ok((size + 128).wrapping_mul(rate).wrapping_mul(times))
}

/// Seconds since 1970 by the cluster's clock.
pub fn now() -> Result<u32, Error> {
    let mut clock = [0; 5];
    // SAFETY: the system variable has 40 bytes.
    let code = unsafe { syscalls::sol_get_clock_sysvar(&mut clock) };
    if code != 0 {
        return Err(Error::CpiFailed);
    }
    u32::try_from(clock[4]).map_err(|_| Error::Overflow)
}

/// Log an event's bytes where Anchor's clients look for them.
pub fn log_event(data: &[u8]) {
    let field = Seed::new(data);
    // SAFETY: one field, alive during the call.
    unsafe { syscalls::sol_log_data(&field, 1) };
}

/// Call another program. `metas` name the accounts with (writable, signer); `seeds` sign for one address of this program, if any.
#[inline(always)]
pub fn invoke<const N: usize>(
    program: &Key,
    metas: [(&Account, bool, bool); N],
    data: &[u8],
    seeds: &[Seed],
) -> Outcome {
    let cpi_metas = metas.map(|(account, writable, signer)| CpiMeta { key: account.key, writable, signer });
    let accounts = metas.map(|(account, _, _)| CpiAccount {
        key: account.key,
        lamports: account.lamports,
        data_len: account.length() as u64,
        data: account.data,
        owner: account.owner,
        rent_epoch: 0,
        signer: account.signer,
        writable: account.writable,
        executable: false,
    });
    let instruction = CpiInstruction {
        program,
        metas: cpi_metas.as_ptr(),
        metas_len: N as u64,
        data: data.as_ptr(),
        data_len: data.len() as u64,
    };
    let signer = Seed { pointer: seeds.as_ptr() as *const u8, length: seeds.len() as u64 };
    let signers = if seeds.is_empty() { 0 } else { 1 };
    // SAFETY: every pointer refers to the input or to locals that outlive the call; the machine checks the addresses again.
    let code = unsafe { syscalls::sol_invoke_signed_c(&instruction, accounts.as_ptr(), N as u64, &signer, signers) };
    if code == 0 { Ok(()) } else { Err(Error::CpiFailed) }
}

/// Where the machine enters.
///
/// # Safety
/// `input` is the loader's serialized instruction (format version 1).
#[no_mangle]
pub unsafe extern "C" fn entrypoint(input: *mut u8) -> u64 {
    // SAFETY: the loader guarantees the format that `parse` walks.
    let context = match unsafe { parse(input) } {
        Ok(context) => context,
        Err(error) => return error as u64,
    };
    match crate::process(&context) {
        Ok(()) => 0,
        Err(error) => error as u64,
    }
}

/// # Safety
/// `input` is the loader's serialized instruction.
unsafe fn parse<'a>(input: *mut u8) -> Result<Context<'a>, Error> {
    let mut accounts = [None; ACCOUNTS_MAX];
    // SAFETY (whole body): each read stays within the serialized instruction, whose lengths are walked field by field; the format
    // keeps every account and its data aligned to 8 bytes.
    unsafe {
        let count = *(input as *const u64) as usize;
        if count > ACCOUNTS_MAX {
            return Err(Error::BadArguments);
        }
        let mut at = input.add(8);
        let mut index = 0;
        while index < count {
            if *at != u8::MAX {
                accounts[index] = accounts[*at as usize % ACCOUNTS_MAX];
                at = at.add(8);
            } else {
                let length = *(at.add(80) as *const u64) as usize;
                accounts[index] = Some(Account {
                    signer: *at.add(1) != 0,
                    writable: *at.add(2) != 0,
                    key: at.add(8) as *const Key,
                    owner: at.add(40) as *const Key,
                    lamports: at.add(72) as *mut u64,
                    data: at.add(88),
                });
                at = at.add(88 + length + GROWTH);
                at = at.add((at as usize).wrapping_neg() & 7).add(8);
            }
            index += 1;
        }
        let length = *(at as *const u64) as usize;
        Ok(Context {
            accounts,
            data: slice::from_raw_parts(at.add(8), length),
            program: &*(at.add(8 + length) as *const Key),
        })
    }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    let (file, line, column) = match info.location() {
        Some(at) => (at.file(), at.line(), at.column()),
        None => ("", 0, 0),
    };
    // SAFETY: the file name is a live string; the call does not return.
    unsafe { syscalls::sol_panic_(file.as_ptr(), file.len() as u64, line as u64, column as u64) }
}
