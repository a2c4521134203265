//! First eight bytes of SHA-256 over "global:", "account:" or "event:" and the name; a test recomputes them.

pub const INITIALIZE: [u8; 8] = [175, 175, 109, 31, 13, 152, 155, 237];
pub const CREATE_PAGE: [u8; 8] = [90, 127, 28, 131, 203, 232, 77, 26];
pub const OPEN_ACCOUNT: [u8; 8] = [101, 152, 91, 243, 176, 36, 189, 101];
pub const DEPOSIT: [u8; 8] = [242, 35, 198, 137, 82, 225, 242, 182];
pub const WITHDRAW: [u8; 8] = [183, 18, 70, 156, 148, 109, 161, 34];
pub const OPEN_BATCH: [u8; 8] = [103, 163, 23, 69, 63, 155, 108, 163];
pub const SETTLE_PAGE: [u8; 8] = [124, 133, 192, 29, 69, 119, 185, 222];
pub const SEAL_BATCH: [u8; 8] = [99, 231, 94, 210, 208, 34, 152, 233];
pub const ESCROW: [u8; 8] = [31, 213, 123, 187, 186, 22, 218, 155];
pub const PAGE: [u8; 8] = [133, 127, 192, 87, 206, 149, 195, 14];
pub const ACCOUNT_OPENED: [u8; 8] = [250, 89, 39, 67, 35, 119, 126, 63];
pub const DEPOSITED: [u8; 8] = [111, 141, 26, 45, 161, 35, 100, 57];
pub const WITHDRAWN: [u8; 8] = [20, 89, 223, 198, 194, 124, 219, 13];
pub const BATCH_OPENED: [u8; 8] = [232, 120, 56, 150, 9, 193, 191, 96];
pub const PAGE_SETTLED: [u8; 8] = [199, 38, 100, 170, 248, 72, 39, 64];
pub const BATCH_SEALED: [u8; 8] = [112, 233, 150, 224, 87, 179, 175, 255];
