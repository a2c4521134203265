//! Every refusal has a code of its own, from 6000 up, listed in the IDL.

pub type Outcome = Result<(), Error>;

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Error {
    UnknownInstruction = 6000,
    BadArguments,
    MissingAccount,
    MissingSignature,
    NotWritable,
    WrongOwner,
    WrongSize,
    WrongDiscriminator,
    WrongAddress,
    WrongProgram,
    AlreadyInitialized,
    NotOperator,
    NotSlotOwner,
    WrongEscrow,
    WrongVault,
    WrongTokenAccount,
    WrongMint,
    PageOutOfOrder,
    PageFull,
    AccountExists,
    SlotUnused,
    ZeroAmount,
    InsufficientBalance,
    Overflow,
    WithdrawalRepeated,
    BatchOutOfOrder,
    BatchOpen,
    NoBatchOpen,
    PageSettled,
    PagesComplete,
    PagesMissing,
    BadDeltas,
    ClearingNegative,
    ClearingNotZero,
    CpiFailed,
}
