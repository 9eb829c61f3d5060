//! Robots: names for programs, below the namespaces they belong to.

use std::ops::ControlFlow;

use super::record::Robot;
use super::{Change, Key, Order, Parts, Read, Span, StoreError, Stored as _, Table, token};
use crate::chance::Id;

fn key(namespace: &Id, name: &str) -> Key {
    Key::new().id(namespace).text(name)
}

/// The robot called `name` of the namespace whose account has this id.
pub fn get(read: &impl Read, namespace: &Id, name: &str) -> Result<Option<Robot>, StoreError> {
    read.record(Table::Robots, &key(namespace, name))
}

/// The robot with this id: its namespace's account, its name there, and itself.
pub fn by_id(read: &impl Read, id: &Id) -> Result<Option<(Id, String, Robot)>, StoreError> {
    let place = read.with(Table::RobotIds, &Key::new().id(id), |bytes| {
        let mut parts = Parts::of(bytes);
        parts.id().and_then(|namespace| Some((namespace, parts.text()?.to_owned())))
    })?;
    let Some((namespace, name)) = place.flatten() else { return Ok(None) };
    Ok(get(read, &namespace, &name)?.filter(|robot| robot.id == *id).map(|robot| (namespace, name, robot)))
}

/// The robots of a namespace, by name, from the one at or after `start`.
pub fn list(read: &impl Read, namespace: &Id, start: &str, limit: usize) -> Result<Vec<(String, Robot)>, StoreError> {
    let all = Key::new().id(namespace).prefix();
    let span = Span { from: all.clone().starting(&key(namespace, start)).from, to: all.to };
    let mut found = Vec::new();
    read.walk(Table::Robots, &span, Order::Forward, |key, value| {
        if found.len() == limit {
            return Ok(ControlFlow::Break(()));
        }
        let robot = Robot::decode(value).map_err(|why| StoreError::damaged(Table::Robots, key, why))?;
        let mut parts = Parts::of(key);
        if parts.id().is_some()
            && let Some(name) = parts.text()
        {
            found.push((name.to_owned(), robot));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// Writes a robot under its name and id.
pub fn put(change: &mut Change<'_>, namespace: &Id, name: &str, robot: &Robot) -> Result<(), StoreError> {
    change.put(Table::Robots, &key(namespace, name), robot)?;
    change.put_bytes(Table::RobotIds, &Key::new().id(&robot.id), key(namespace, name).bytes())
}

/// Removes a slice of the robots of a namespace whose account is gone, and of
/// their tokens: how many rows were found.
pub fn purge(change: &mut Change<'_>, namespace: &Id) -> Result<usize, StoreError> {
    let Some((name, robot)) = list(change, namespace, "", 1)?.pop() else { return Ok(0) };
    // One robot a slice: it may have many tokens.
    let found = token::purge(change, &robot.id)?;
    if found == 0 {
        remove(change, namespace, &name, &robot)?;
    }
    Ok(found + 1)
}

/// Removes a robot. Its tokens are removed by whoever calls.
pub fn remove(change: &mut Change<'_>, namespace: &Id, name: &str, robot: &Robot) -> Result<(), StoreError> {
    change.remove(Table::Robots, &key(namespace, name))?;
    change.remove(Table::RobotIds, &Key::new().id(&robot.id))?;
    Ok(())
}
