//! Death, and what is there afterwards.
//!
//! Three ways to die: a disk that keeps, drops, tears and reorders what was
//! not synced, bytes and names alike (`storage`, the first start in `first`; that
//! it finds what it should, in `holes`; a disk that breaks or is full, in
//! `broken`), an abort at every named crash point (`points`), and
//! `kill -9` at random moments under load (`kill`). After each of them the
//! same law holds (`law`): what was acknowledged is there, whole; what was
//! owed is done, once. Meanwhile what clients see of a tag fits one order
//! (`linear`, found by `register`), and of those who race one wins (`race`).
//!
//! Every run prints its seed; `TIDEGATE_SEED` repeats it. `TIDEGATE_CRASHES`
//! and `TIDEGATE_KILLS` say how many; `TIDEGATE_ROUNDS` how many races, and
//! `TIDEGATE_OPERATIONS` how many operations are put into an order.

#![cfg(debug_assertions)]

mod broken;
mod client;
mod daemon;
mod dice;
mod disk;
mod first;
mod holes;
mod image;
mod kill;
mod known;
mod law;
mod linear;
mod points;
mod race;
mod recovery;
mod register;
mod storage;
mod tape;
mod world;
