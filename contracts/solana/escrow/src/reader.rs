//! Borsh arguments, read forward; what is left over or missing is an error.

use crate::error::{Error, Outcome};
use crate::runtime::Key;
use crate::state::{Limits, Settings};

pub struct Reader<'a> {
    data: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Reader { data }
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        match self.data.split_first_chunk::<N>() {
            Some((head, rest)) => {
                self.data = rest;
                Ok(*head)
            }
            None => Err(Error::BadArguments),
        }
    }

    pub fn u16(&mut self) -> Result<u16, Error> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub fn key(&mut self) -> Result<Key, Error> {
        self.array()
    }

    pub fn limits(&mut self) -> Result<Limits, Error> {
        Ok(Limits {
            hour_floor: self.u64()?,
            day_floor: self.u64()?,
            hour_share: self.u32()?,
            day_share: self.u32()?,
            exit_delay: self.u32()?,
            timelock: self.u32()?,
            loss_window: self.u32()?,
            limit_delay: self.u32()?,
        })
    }

    pub fn settings(&mut self) -> Result<Settings, Error> {
        Ok(Settings { admin: self.key()?, operator: self.key()?, guardian: self.key()?, limits: self.limits()? })
    }

    /// A length-prefixed byte string, which must be the last argument.
    pub fn last_bytes(&mut self) -> Result<&'a [u8], Error> {
        let length = self.u32()? as usize;
        if length != self.data.len() {
            return Err(Error::BadArguments);
        }
        Ok(core::mem::take(&mut self.data))
    }

    pub fn finish(&self) -> Outcome {
        if self.data.is_empty() { Ok(()) } else { Err(Error::BadArguments) }
    }
}
