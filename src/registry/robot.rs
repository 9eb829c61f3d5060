//! Robots: names for programs. One belongs to a namespace, outlives whoever
//! made it, and has what its scopes name of that namespace.

use super::caller::ROBOT_MARK;
use crate::access::{Level, Scopes};
use crate::audit::{Act, Action, Audit, ObjectKind};
use crate::chance::Id;
use crate::limits;
use crate::oci::name::is_component;
use crate::store::record::Robot;
use crate::store::{Change, Lane, Operation, Read, StoreError, account, audit, robot, token};

use super::{Caller, Registry, RegistryError};

/// A robot to be made.
#[derive(Clone, Debug)]
pub struct NewRobot {
    /// What it is for.
    pub description: String,
    /// What of the namespace's rights it has.
    pub scopes: Scopes,
}

/// What of a robot changes; the rest stays as it is when that is written.
#[derive(Clone, Debug, Default)]
pub struct RobotChange {
    /// What it is for.
    pub description: Option<String>,
    /// What of the namespace's rights it has.
    pub scopes: Option<Scopes>,
}

struct PutRobot {
    caller: Caller,
    namespace: String,
    name: String,
    /// Of one that is made, all of it.
    change: RobotChange,
    id: Id,
    /// Whether it is there already.
    is_change: bool,
}

impl Operation for PutRobot {
    /// The namespace's account, and what is there.
    type Plan = (Id, Option<Robot>);
    type Done = Robot;
    type Refusal = RegistryError;
    const NAME: &'static str = "put robot";
    const AUDIT: Audit = Audit::Acts(&[Action::RobotCreate, Action::RobotUpdate]);

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, RegistryError>, StoreError> {
        let namespace = match owned(tables, &self.caller, &self.namespace)? {
            Ok(namespace) => namespace,
            Err(refusal) => return Ok(Err(refusal)),
        };
        // One that is there may have an old name that no robot gets any more.
        let is_id = !self.is_change && self.name.parse::<Id>().is_ok();
        if is_id || !is_component(&self.name) || self.name.len() > limits::ROBOT_NAME_BYTES {
            return Ok(Err(RegistryError::RobotName { name: self.name.clone() }));
        }
        if self.change.description.as_ref().is_some_and(|text| text.len() > limits::TOKEN_LABEL_BYTES) {
            return Ok(Err(RegistryError::LabelTooLong));
        }
        let fit = |scopes: &Scopes| !scopes.is_empty() && scopes.iter().all(|scope| scope.is_within(&self.namespace));
        if !self.change.scopes.as_ref().map_or(self.is_change, fit) {
            return Ok(Err(RegistryError::RobotScopes { namespace: self.namespace.clone() }));
        }
        let there = robot::get(tables, &namespace, &self.name)?;
        if there.is_some() != self.is_change {
            let name = self.name.clone();
            return Ok(Err(match there {
                Some(_) => RegistryError::RobotExists { name },
                None => RegistryError::RobotUnknown { name },
            }));
        }
        let count = limits::ROBOTS_PER_NAMESPACE;
        if there.is_none() && robot::list(tables, &namespace, "", count)?.len() >= count {
            return Ok(Err(RegistryError::TooManyCredentials { count }));
        }
        Ok(Ok((namespace, there)))
    }

    fn apply(&self, (namespace, there): Self::Plan, tables: &mut Change<'_>) -> Result<Robot, StoreError> {
        let before = there.as_ref().map(|there| (there.description.clone(), there.scopes.join(" ")));
        let mut robot = there.unwrap_or_else(|| Robot {
            id: self.id,
            description: String::new(),
            scopes: Vec::new(),
            created_at: tables.now(),
        });
        if let Some(description) = &self.change.description {
            robot.description.clone_from(description);
        }
        if let Some(scopes) = &self.change.scopes {
            robot.scopes = scopes.texts();
        }
        robot::put(tables, &namespace, &self.name, &robot)?;
        let act = of_robot(
            tables,
            if before.is_some() { Action::RobotUpdate } else { Action::RobotCreate },
            (&namespace, &self.name),
            &robot,
        )?;
        let scopes = robot.scopes.join(" ");
        let act = match &before {
            Some((description, before)) => act.changed("scopes", before.as_str(), scopes.as_str()).changed(
                "description",
                description,
                &robot.description,
            ),
            None => act.with("scopes", &scopes),
        };
        audit::append(tables, &self.caller.actor(), act)?;
        Ok(robot)
    }
}

struct RemoveRobot {
    caller: Caller,
    namespace: String,
    name: String,
}

impl Operation for RemoveRobot {
    type Plan = (Id, Robot);
    type Done = ();
    type Refusal = RegistryError;
    const NAME: &'static str = "remove robot";
    const AUDIT: Audit = Audit::Acts(&[Action::RobotDelete]);
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, RegistryError>, StoreError> {
        let namespace = match owned(tables, &self.caller, &self.namespace)? {
            Ok(namespace) => namespace,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let there = robot::get(tables, &namespace, &self.name)?;
        Ok(there.map(|robot| (namespace, robot)).ok_or_else(|| RegistryError::RobotUnknown { name: self.name.clone() }))
    }

    fn apply(&self, (namespace, robot): Self::Plan, tables: &mut Change<'_>) -> Result<(), StoreError> {
        // At most as many as one may have, which is a few slices.
        while token::purge(tables, &robot.id)? > 0 {}
        let act = of_robot(tables, Action::RobotDelete, (&namespace, &self.name), &robot)?;
        robot::remove(tables, &namespace, &self.name, &robot)?;
        audit::append(tables, &self.caller.actor(), act)
    }
}

/// Something done to a robot.
fn of_robot(read: &impl Read, action: Action, of: (&Id, &str), robot: &Robot) -> Result<Act, StoreError> {
    let namespace = account::name_of(read, of.0)?.unwrap_or_default();
    let name = format_args!("{namespace}{ROBOT_MARK}{}", of.1);
    Ok(Act::new(action, ObjectKind::Robot, name).id(robot.id).within(&namespace))
}

/// The account of a namespace that the caller owns.
fn owned(read: &impl Read, caller: &Caller, namespace: &str) -> Result<Result<Id, RegistryError>, StoreError> {
    if caller.is_restricted() {
        return Ok(Err(RegistryError::Restricted));
    }
    let found = account::find(read, namespace)?;
    let namespace = found.as_ref().map_or(namespace, |(name, _)| name);
    if caller.level(read, namespace, None)? < Some(Level::Admin) {
        return Ok(Err(RegistryError::AdminOnly { action: "see and change the robots of a namespace of others" }));
    }
    let unknown = || RegistryError::NamespaceUnknown { namespace: namespace.to_owned() };
    Ok(found.as_ref().map(|(_, account)| account.id).ok_or_else(unknown))
}

impl Registry {
    /// Makes a robot.
    pub async fn create_robot(
        &self,
        caller: &Caller,
        namespace: &str,
        name: &str,
        new: NewRobot,
    ) -> Result<Robot, RegistryError> {
        let all = RobotChange { description: Some(new.description), scopes: Some(new.scopes) };
        self.put_robot(caller, namespace, name, all, false).await
    }

    /// Gives a robot another description, or other scopes.
    pub async fn update_robot(
        &self,
        caller: &Caller,
        namespace: &str,
        name: &str,
        change: RobotChange,
    ) -> Result<Robot, RegistryError> {
        self.put_robot(caller, namespace, name, change, true).await
    }

    async fn put_robot(
        &self,
        caller: &Caller,
        namespace: &str,
        name: &str,
        change: RobotChange,
        is_change: bool,
    ) -> Result<Robot, RegistryError> {
        let (caller, id) = (caller.clone(), self.store().chance().id());
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        let operation = PutRobot { caller, namespace, name, change, id, is_change };
        self.store().submit(Lane::Foreground, operation).await?
    }

    /// Removes a robot and all its tokens.
    pub async fn remove_robot(&self, caller: &Caller, namespace: &str, name: &str) -> Result<(), RegistryError> {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        let operation = RemoveRobot { caller: caller.clone(), namespace, name };
        self.store().submit(Lane::Foreground, operation).await?
    }

    /// A robot of a namespace that the caller owns.
    pub fn robot(&self, caller: &Caller, namespace: &str, name: &str) -> Result<Robot, RegistryError> {
        let read = self.store().snapshot()?;
        let owner = owned(&read, caller, namespace)??;
        robot::get(&read, &owner, name)?.ok_or_else(|| RegistryError::RobotUnknown { name: name.to_owned() })
    }

    /// The robots of a namespace that the caller owns, by name, from `start` on.
    pub fn robots(
        &self,
        caller: &Caller,
        namespace: &str,
        start: &str,
        limit: usize,
    ) -> Result<Vec<(String, Robot)>, RegistryError> {
        let read = self.store().snapshot()?;
        let owner = owned(&read, caller, namespace)??;
        Ok(robot::list(&read, &owner, start, limit)?)
    }
}
