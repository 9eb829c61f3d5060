//! What the machine gives at best: the programs that Tidegate's figures are
//! held against.

mod database;
mod disk;
mod empty;
mod files;
mod hash;

use anyhow::Result;

use crate::figures::Figures;

/// Which limit.
#[derive(clap::Subcommand, Debug)]
pub(crate) enum Limit {
    /// Group commits of a bare redb: the rows of one tag each
    Database(database::Database),
    /// A server whose every answer is empty (hyper), until it is ended
    Empty(empty::Empty),
    /// SHA-256 of memory, on one thread
    Hash(hash::Hash),
    /// A long file written and synced
    Disk(disk::Disk),
    /// Small files, each written, synced, renamed, its folder synced
    Files(files::Files),
}

impl Limit {
    /// Finds it out.
    pub(crate) fn run(&self) -> Result<Figures> {
        match self {
            Self::Database(database) => database.run(),
            Self::Empty(empty) => empty.run(),
            Self::Hash(hash) => Ok(hash.run()),
            Self::Disk(disk) => disk.run(),
            Self::Files(files) => files.run(),
        }
    }
}
