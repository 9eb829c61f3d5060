//! What the tests stand on, from the ground up: programs and how they are run,
//! processes that live as long as a test, a network of the test's own, and on
//! these a Tidegate, a Docker engine and a second registry.
//!
//! Everything is made in temporary folders, on loopback or in a network
//! namespace; only processes that were started here are ended, by their id;
//! every wait has an end.

mod curl;
mod daemon;
mod debian;
mod engine;
mod frames;
mod go;
mod image;
mod measured;
mod namespace;
mod parrot;
mod program;
mod running;
mod second_registry;
mod small_disk;
mod wait;

pub(crate) use curl::{Answer, Client};
pub(crate) use daemon::{ADMIN, Daemon, PASSWORD, TIDEGATE};
pub(crate) use debian::{debian_root, debian_tar};
pub(crate) use engine::Engine;
pub(crate) use frames::{Frame, Frames};
pub(crate) use go::go_program;
pub(crate) use image::{Image, Layout};
pub(crate) use measured::measured;
pub(crate) use namespace::Namespace;
pub(crate) use parrot::{Parrot, ParrotSecrets};
pub(crate) use program::{Ran, Run, bounded, need, output, program, scratch, sha256};
pub(crate) use running::Running;
pub(crate) use second_registry::SecondRegistry;
pub(crate) use small_disk::SmallDisk;
pub(crate) use wait::{until, until_some};

use tokio::sync::{Mutex, MutexGuard};

/// Measured times and one release build: the tests of this binary take turns.
pub(crate) async fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}
