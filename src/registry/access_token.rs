//! Access tokens: made, listed, changed, removed; and what somebody who shows
//! one is.
//!
//! A token stands for its holder with all rights that it has when it is used,
//! or with what scopes leave of them. Some are made by people; others when a
//! program signs in with a password and keeps a token in its place: those last
//! as long as the password does, and make room for each other.
//!
//! Uses are gathered in memory and written down from time to time: a pull
//! waits for no commit.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use crate::access::Scopes;
use crate::audit::{Act, Action, Audit, ObjectKind};
use crate::chance::Id;
use crate::clock::Timestamp;
use crate::identity::token::{access, same_print};
use crate::limits;
use crate::secret::Secret;
use crate::store::record::{Origin, Token};
use crate::store::token::{self, Hash};
use crate::store::{Change, Lane, Operation, Read, Store, StoreError, account, audit, robot};

use super::caller::{ROBOT_MARK, Restriction};
use super::{Caller, Registry, RegistryError};

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What people call it.
    pub label: String,
    /// How it comes about.
    pub origin: Origin,
    /// The program that asks for it.
    pub creator_ua: String,
    /// What it leaves of its holder's rights; `None`: all.
    pub scopes: Option<Scopes>,
    /// How long it may be used; `None`: for ever.
    pub lasts: Option<Duration>,
}

/// A token that was made. Its text is told once.
pub struct MadeToken {
    /// The text.
    pub text: Secret,
    /// Its hash, by which it is called from now on.
    pub hash: Hash,
    /// What is kept.
    pub token: Token,
}

impl std::fmt::Debug for MadeToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MadeToken").field("token", &self.token).finish_non_exhaustive()
    }
}

/// What of a token changes.
#[derive(Clone, Debug, Default)]
pub struct TokenChange {
    /// What people call it.
    pub label: Option<String>,
    /// Whether it may be used.
    pub is_active: Option<bool>,
}

/// Which tokens a clean-up removes.
#[derive(Clone, Copy, Debug, Default)]
pub struct CleanUp {
    /// Those that were not used since, or never, and are older.
    pub used_before: Option<Timestamp>,
    /// Those that came of signing in, or those that people made; `None`: all.
    pub of_sign_in: Option<bool>,
}

struct MakeToken {
    holder: Id,
    new: NewToken,
    hash: Hash,
    /// Who asks; none: the holder itself, who has just signed in.
    by: Option<Caller>,
}

impl Operation for MakeToken {
    /// Tokens that it takes the place of.
    type Plan = Vec<(Hash, Token)>;
    type Done = Token;
    type Refusal = RegistryError;
    const NAME: &'static str = "make access token";
    const AUDIT: Audit = Audit::Acts(&[Action::TokenCreate]);

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, RegistryError>, StoreError> {
        let may = match &self.by {
            Some(by) => may_manage(tables, by, &self.holder)?,
            // It may have gone since it signed in.
            None => account::name_of(tables, &self.holder)?.is_some(),
        };
        if !may {
            return Ok(Err(RegistryError::Restricted));
        }
        let is_sign_in = matches!(self.new.origin, Origin::SignIn { .. });
        if !is_sign_in && too_long(&self.new.label) {
            return Ok(Err(RegistryError::LabelTooLong));
        }
        let mut alike = Vec::new();
        token::walk(tables, &self.holder, None, |hash, token| {
            if matches!(token.origin, Origin::SignIn { .. }) == is_sign_in {
                alike.push((hash, token));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        if !is_sign_in {
            let is_full = alike.len() >= limits::TOKENS_PER_HOLDER;
            let count = limits::TOKENS_PER_HOLDER;
            return Ok(if is_full { Err(RegistryError::TooManyCredentials { count }) } else { Ok(Vec::new()) });
        }
        // Those that are over, and those beyond what is kept, the least used first.
        let now = tables.now();
        alike.sort_by_key(|(_, token)| (!is_over(token, now), token.last_used.max(Some(token.created_at))));
        let over = alike.iter().filter(|(_, token)| is_over(token, now)).count();
        alike.truncate(over.max((alike.len() + 1).saturating_sub(limits::SIGN_IN_TOKENS)));
        Ok(Ok(alike))
    }

    fn apply(&self, gone: Self::Plan, tables: &mut Change<'_>) -> Result<Token, StoreError> {
        for (hash, token) in gone {
            token::remove(tables, &hash, &token)?;
        }
        let new = &self.new;
        let token = Token {
            holder: self.holder,
            // A program that signs in gives what it likes.
            label: shortened(&new.label, limits::TOKEN_LABEL_BYTES),
            origin: new.origin.clone(),
            creator_ua: shortened(&new.creator_ua, limits::TOKEN_AGENT_BYTES),
            is_active: true,
            scopes: new.scopes.as_ref().map(Scopes::texts),
            expires_at: new.lasts.map(|lasts| tables.now().after(lasts)),
            created_at: tables.now(),
            last_used: None,
        };
        token::put(tables, &self.hash, &token)?;
        if let Some(by) = self.by.as_ref().filter(|_| !matches!(token.origin, Origin::SignIn { .. })) {
            let act = of_token(tables, Action::TokenCreate, (&self.hash, &token))?;
            let scopes = token.scopes.as_ref().map_or_else(|| "all".to_owned(), |scopes| scopes.join(" "));
            audit::append(tables, &by.actor(), act.with("scopes", scopes))?;
        }
        Ok(token)
    }
}

/// Something done to a token: by whose it is, with the beginning of its id. Its
/// text is nowhere.
fn of_token(read: &impl Read, action: Action, (hash, token): (&Hash, &Token)) -> Result<Act, StoreError> {
    let (name, namespace) = match account::name_of(read, &token.holder)? {
        Some(name) => (name.clone(), name),
        None => match robot::by_id(read, &token.holder)? {
            Some((namespace, name, _)) => {
                let namespace = account::name_of(read, &namespace)?.unwrap_or_default();
                (format!("{namespace}{ROBOT_MARK}{name}"), namespace)
            }
            None => (token.holder.to_string(), String::new()),
        },
    };
    let act = Act::new(action, ObjectKind::Token, name).id(token.holder).within(&namespace);
    Ok(act.with("token", access::short(hash)).with("label", &token.label))
}

struct ChangeToken {
    caller: Caller,
    hash: Hash,
    /// None removes it.
    change: Option<TokenChange>,
}

impl Operation for ChangeToken {
    type Plan = Token;
    type Done = Token;
    type Refusal = RegistryError;
    const NAME: &'static str = "change access token";
    const AUDIT: Audit = Audit::Acts(&[Action::TokenUpdate, Action::TokenDelete]);
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Token, RegistryError>, StoreError> {
        if self.change.as_ref().and_then(|change| change.label.as_deref()).is_some_and(too_long) {
            return Ok(Err(RegistryError::LabelTooLong));
        }
        seen(tables, &self.caller, &self.hash)
    }

    fn apply(&self, mut token: Token, tables: &mut Change<'_>) -> Result<Token, StoreError> {
        let before = token.clone();
        match &self.change {
            None => token::remove(tables, &self.hash, &token)?,
            Some(change) => {
                token.label = change.label.clone().unwrap_or(token.label);
                token.is_active = change.is_active.unwrap_or(token.is_active);
                token::put(tables, &self.hash, &token)?;
            }
        }
        let is_same = before.label == token.label && before.is_active == token.is_active;
        let act = match &self.change {
            None => Some(of_token(tables, Action::TokenDelete, (&self.hash, &token))?),
            Some(_) if is_same => None,
            Some(_) => {
                let act = of_token(tables, Action::TokenUpdate, (&self.hash, &before))?;
                let act = act.changed("tokenLabel", &before.label, &token.label);
                Some(act.changed("isActive", before.is_active, token.is_active))
            }
        };
        if let Some(act) = act {
            audit::append(tables, &self.caller.actor(), act)?;
        }
        Ok(token)
    }
}

struct CleanTokens {
    caller: Caller,
    holder: Id,
    which: CleanUp,
    /// What was used since it was last written down.
    used: Vec<(Hash, Timestamp)>,
}

impl Operation for CleanTokens {
    type Plan = Vec<(Hash, Token)>;
    type Done = usize;
    type Refusal = RegistryError;
    const NAME: &'static str = "clean up access tokens";
    const AUDIT: Audit = Audit::Acts(&[Action::TokenDelete]);
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, RegistryError>, StoreError> {
        if !may_manage(tables, &self.caller, &self.holder)? {
            return Ok(Err(RegistryError::Restricted));
        }
        let mut gone = Vec::new();
        token::walk(tables, &self.holder, None, |hash, token| {
            let noted = self.used.iter().find(|(used, _)| *used == hash).map(|(_, at)| *at);
            let last = token.last_used.max(noted).unwrap_or(token.created_at);
            let is_idle = self.which.used_before.is_none_or(|before| last < before);
            let is_kind =
                self.which.of_sign_in.is_none_or(|wanted| matches!(token.origin, Origin::SignIn { .. }) == wanted);
            if is_idle && is_kind {
                gone.push((hash, token));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(Ok(gone))
    }

    fn apply(&self, gone: Self::Plan, tables: &mut Change<'_>) -> Result<usize, StoreError> {
        for (hash, token) in &gone {
            token::remove(tables, hash, token)?;
            let act = of_token(tables, Action::TokenDelete, (hash, token))?;
            audit::append(tables, &self.caller.actor(), act)?;
        }
        Ok(gone.len())
    }
}

/// Writes down when tokens were used.
struct WriteUses(Vec<(Hash, Timestamp)>);

impl Operation for WriteUses {
    type Plan = ();
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "write uses of tokens";
    const AUDIT: Audit = Audit::Nothing("uses are noted, not told: each request is one");

    fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
        Ok(Ok(()))
    }

    fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<(), StoreError> {
        for (hash, at) in &self.0 {
            // Nothing is written for what was removed since.
            if let Some(mut token) = token::get(tables, hash)? {
                token.last_used = token.last_used.max(Some(*at));
                token::put(tables, hash, &token)?;
            }
        }
        Ok(())
    }
}

/// Writes down which tokens were used since the last time, in slices.
pub async fn write_uses(store: &Store) -> Result<(), StoreError> {
    loop {
        let taken = store.token_uses().take(limits::BACKGROUND_ROWS);
        if taken.is_empty() {
            return Ok(());
        }
        match store.submit(Lane::Background, WriteUses(taken.clone())).await {
            Ok(done) => done.unwrap_or_else(|never| match never {}),
            Err(error) => {
                store.token_uses().put_back(&taken);
                return Err(error);
            }
        }
    }
}

/// Who shows the token whose text hashes to `hash`; `None` when it is nobody's
/// any more. `print` is what stands for the password of an account now.
pub fn holder(
    read: &impl Read,
    hash: &Hash,
    now: Timestamp,
    print: impl Fn(&Id, &str) -> [u8; 16],
) -> Result<Option<Caller>, StoreError> {
    let Some(token) = token::get(read, hash)?.filter(|token| token.is_active && !is_over(token, now)) else {
        return Ok(None);
    };
    let Some((name, account)) = account::by_id(read, &token.holder)? else {
        return Caller::of_robot(read, &token.holder);
    };
    if !account.is_active || account.is_org {
        return Ok(None);
    }
    if let Origin::SignIn { print: of_password } = &token.origin {
        let is_same = account.password_hash.is_some_and(|phc| same_print(of_password, &print(&account.id, &phc)));
        return Ok(is_same.then(|| Caller::account_of(account.id, name)));
    }
    // What cannot be read allows nothing.
    let scopes = token.scopes.as_ref().map(|texts| Scopes::read(texts).unwrap_or_default());
    let is_restricted = scopes.is_some() || token.expires_at.is_some();
    let within = is_restricted.then(|| Arc::new(Restriction { scopes }));
    Ok(Some(Caller::Account { id: account.id, name, within }))
}

/// Whether the caller may make and remove credentials of `holder`: its own, a
/// robot's of its namespace, and a system admin everyone's.
fn may_manage(read: &impl Read, caller: &Caller, holder: &Id) -> Result<bool, StoreError> {
    if caller.is_restricted() {
        return Ok(false);
    }
    if caller.is_admin(read)? {
        return Ok(true);
    }
    if let Some((namespace, _, _)) = robot::by_id(read, holder)? {
        let Some(namespace) = account::name_of(read, &namespace)? else { return Ok(false) };
        return Ok(caller.level(read, &namespace, None)? >= Some(crate::access::Level::Admin));
    }
    match caller {
        Caller::Account { id, .. } if id == holder => {
            Ok(account::by_id(read, id)?.is_some_and(|(_, account)| account.is_active))
        }
        _ => Ok(false),
    }
}

/// A token that the caller may see. One of somebody else is not there.
fn seen(read: &impl Read, caller: &Caller, hash: &Hash) -> Result<Result<Token, RegistryError>, StoreError> {
    if caller.is_restricted() {
        return Ok(Err(RegistryError::Restricted));
    }
    Ok(match token::get(read, hash)? {
        Some(token) if may_manage(read, caller, &token.holder)? => Ok(token),
        Some(_) | None => Err(RegistryError::TokenUnknown),
    })
}

fn is_over(token: &Token, now: Timestamp) -> bool {
    token.expires_at.is_some_and(|end| end <= now)
}

fn too_long(label: &str) -> bool {
    label.len() > limits::TOKEN_LABEL_BYTES
}

/// As much of a text that a stranger sent as is kept.
fn shortened(text: &str, most: usize) -> String {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text[..end.unwrap_or(0)].to_owned()
}

impl Registry {
    /// Makes a token for the account or robot `holder`; `by` is who asks, none
    /// when the holder has just signed in.
    pub async fn make_token(
        &self,
        by: Option<&Caller>,
        holder: &Id,
        new: NewToken,
    ) -> Result<MadeToken, RegistryError> {
        let text = access::make(self.store().chance());
        let hash = access::hash(text.expose()).expect("what is made has the form");
        let operation = MakeToken { holder: *holder, new, hash, by: by.cloned() };
        let token = self.store().submit(Lane::Foreground, operation).await??;
        Ok(MadeToken { text, hash, token })
    }

    /// A token that the caller may see.
    pub fn token(&self, caller: &Caller, hash: &Hash) -> Result<Token, RegistryError> {
        let token = seen(&self.store().snapshot()?, caller, hash)??;
        Ok(self.with_uses(hash, token))
    }

    /// The tokens of an account or robot by hash, from `start` on, one more
    /// than `size` at most; and how many there are.
    pub fn tokens(
        &self,
        caller: &Caller,
        holder: &Id,
        start: Option<&Hash>,
        size: usize,
    ) -> Result<(Vec<(Hash, Token)>, usize), RegistryError> {
        let read = self.store().snapshot()?;
        if !may_manage(&read, caller, holder)? {
            return Err(RegistryError::Restricted);
        }
        let (mut found, mut count) = (Vec::new(), 0);
        token::walk(&read, holder, None, |hash, token| {
            count += 1;
            if start.is_none_or(|start| hash >= *start) && found.len() <= size {
                found.push((hash, self.with_uses(&hash, token)));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok((found, count))
    }

    /// Changes a token.
    pub async fn change_token(
        &self,
        caller: &Caller,
        hash: &Hash,
        change: TokenChange,
    ) -> Result<Token, RegistryError> {
        let operation = ChangeToken { caller: caller.clone(), hash: *hash, change: Some(change) };
        let token = self.store().submit(Lane::Foreground, operation).await??;
        Ok(self.with_uses(hash, token))
    }

    /// Removes a token.
    pub async fn remove_token(&self, caller: &Caller, hash: &Hash) -> Result<(), RegistryError> {
        let operation = ChangeToken { caller: caller.clone(), hash: *hash, change: None };
        self.store().submit(Lane::Foreground, operation).await?.map(drop)
    }

    /// Removes tokens of an account; how many.
    pub async fn clean_tokens(&self, caller: &Caller, holder: &Id, which: CleanUp) -> Result<usize, RegistryError> {
        let mut used = Vec::new();
        token::walk(&self.store().snapshot()?, holder, None, |hash, _| {
            used.extend(self.store().token_uses().of(&hash).map(|at| (hash, at)));
            Ok(ControlFlow::Continue(()))
        })?;
        let operation = CleanTokens { caller: caller.clone(), holder: *holder, which, used };
        self.store().submit(Lane::Foreground, operation).await?
    }

    fn with_uses(&self, hash: &Hash, mut token: Token) -> Token {
        token.last_used = token.last_used.max(self.store().token_uses().of(hash));
        token
    }
}
