//! Access tokens and robots: both directions of their indexes, and that what
//! they stand for is there.

use super::Check;
use crate::chance::Id;
use crate::store::record::{Certified, Robot, Token};
use crate::store::{Key, Parts, Read as _, Snapshot, StoreError, Table, account, organization, robot};

/// Whether an account or robot is there, or has left rows that are being
/// removed.
fn is_known(read: &Snapshot, id: &Id) -> Result<bool, StoreError> {
    Ok(account::name_of(read, id)?.is_some()
        || robot::by_id(read, id)?.is_some()
        || read.has(Table::Purges, &organization::purge_key(id))?)
}

impl Check<'_> {
    /// Everything about credentials.
    pub(super) fn credentials(&mut self) -> Result<(), StoreError> {
        self.each::<Token>(Table::Tokens, |check, key, token| {
            let hash = Parts::of(key).hash().unwrap_or_default();
            let shown = hex::encode(key);
            if !check.read.has(Table::HeldTokens, &Key::new().id(&token.holder).hash(&hash))? {
                check.report.find("missing index row", format!("token {shown} of {}", token.holder));
            }
            if !is_known(check.read, &token.holder)? {
                check.report.find("stray token", format!("{shown} stands for {}, which is gone", token.holder));
            }
            Ok(())
        })?;
        self.keys(Table::HeldTokens, |read, key| {
            let mut parts = Parts::of(key);
            let Some((holder, hash)) = parts.id().zip(parts.hash()) else { return Ok(false) };
            let token: Option<Token> = read.record(Table::Tokens, &Key::new().hash(&hash))?;
            Ok(token.is_some_and(|token| token.holder == holder))
        })?;
        self.each::<Robot>(Table::Robots, |check, key, robot| {
            let named = hex::encode(key);
            let place = check.read.with(Table::RobotIds, &Key::new().id(&robot.id), |bytes| bytes == key)?;
            if place != Some(true) {
                check.report.find("missing index row", format!("robot {} at {named}", robot.id));
            }
            match Parts::of(key).id() {
                Some(namespace) if is_known(check.read, &namespace)? => {}
                _ => check.report.find("stray robot", format!("{named} belongs to no account")),
            }
            Ok(())
        })?;
        self.keys(Table::RobotIds, |read, key| {
            let Some(id) = Parts::of(key).id() else { return Ok(false) };
            Ok(robot::by_id(read, &id)?.is_some())
        })?;
        self.each::<Certified>(Table::Certified, |check, key, record| {
            if account::name_of(check.read, &record.account)?.is_none() {
                let name = String::from_utf8_lossy(key).into_owned();
                check.report.find("stray certificate", format!("{name:?} stands for an account that is gone"));
            }
            Ok(())
        })
    }
}
