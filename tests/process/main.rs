//! The daemon as a process, met by the programs that people use: a Docker
//! engine, podman, buildah, skopeo, crane, oras, regctl, a second registry, the
//! conformance program, dpkg.
//!
//! Needs root and Debian; programs that are missing are installed, and the
//! test that needs one that cannot be had fails. What one program says to
//! another is asserted, and times are measured, so the tests take turns.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod accounts;
mod audit;
mod backup;
mod bad_input;
mod canaries;
mod clients;
mod conformance;
mod demo;
mod descriptors;
mod disk_full;
mod package;
mod pipeline;
mod readme;
mod scrub;
mod sealing_keys;
mod set_up;
mod sign_in;
mod start_up;
mod support;
mod transport;
