//! Death, and what is there afterwards.
//!
//! Three ways to die: a disk that keeps, drops, tears and reorders what was
//! not synced (`storage`), an abort at every named crash point (`points`), and
//! `kill -9` at random moments under load (`kill`). After each of them the
//! same law holds (`law`): what was acknowledged is there, whole; what was
//! owed is done, once.
//!
//! Every run prints its seed; `TIDEGATE_SEED` repeats it. `TIDEGATE_CRASHES`
//! and `TIDEGATE_KILLS` say how many.

#![cfg(debug_assertions)]

mod client;
mod daemon;
mod dice;
mod disk;
mod image;
mod kill;
mod law;
mod points;
mod storage;
