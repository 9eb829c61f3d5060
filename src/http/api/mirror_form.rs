//! What a mirror policy's request holds: merged over what stood before, and
//! checked.
//!
//! Credentials go one way. A request that names none keeps the stored ones, as
//! long as the origin stays; with another origin they are dropped, and so they
//! are when the user name is emptied. One that names a password or a token
//! replaces both.

use serde::Deserialize;

use crate::jobs::remote::{self, Plain, Remotes, same_origin};
use crate::policy::rename::RenameError;
use crate::policy::rule::RawRule;
use crate::policy::template::TemplateError;
use crate::policy::{Kind, Rename, Rules, Schedule, Template, zone};
use crate::secret::Secret;
use crate::store::record::{Policy, PolicyBody, Remote};

use super::call::{RuleForm, rules};
use super::error::ApiError;
use super::form::Form;

/// When a pull mirror looks unless it says so: DTR's every 30 minutes.
const SCHEDULE: &str = "@every 30m";

/// The request. Push and pull mirrors take the same fields: tools send the
/// whole set for either.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct MirrorForm {
    enabled: Option<bool>,
    rules: Option<Vec<Form<RuleForm>>>,
    tag_template: Option<String>,
    time_zone: Option<String>,
    schedule: Option<String>,
    remote_host: Option<String>,
    remote_repository: Option<String>,
    username: Option<String>,
    password: Option<Secret>,
    auth_token: Option<Secret>,
    #[serde(rename = "remoteCA")]
    remote_ca: Option<String>,
    #[serde(rename = "skipTLSVerification")]
    skip_tls_verification: Option<bool>,
}

/// A mirror policy as it is to be saved.
#[derive(Debug)]
pub(super) struct Draft {
    /// Whether it acts.
    pub(super) enabled: bool,
    /// All must hold.
    pub(super) rules: Vec<RawRule>,
    /// How the tag is called on the other side.
    pub(super) tag_template: String,
    /// Of the template and the schedule.
    pub(super) time_zone: String,
    /// When a pull mirror looks.
    pub(super) schedule: String,
    /// The other registry. Sealed credentials in it are kept ones.
    pub(super) remote: Remote,
    /// Credentials that the request brought.
    pub(super) plain: Option<Plain>,
    /// Whether the other registry should be asked before it is saved.
    pub(super) asks: bool,
}

impl MirrorForm {
    /// A remote alone, for the check that stands by itself.
    pub(super) fn remote(self, private: bool) -> (Remote, Plain) {
        let remote = Remote {
            host: self.remote_host.unwrap_or_default(),
            repository: self.remote_repository.unwrap_or_default(),
            username: self.username.unwrap_or_default(),
            password: None,
            token: None,
            ca: self.remote_ca.unwrap_or_default(),
            skip_tls_verification: self.skip_tls_verification.unwrap_or(false),
            private,
        };
        let plain = Plain { password: self.password.unwrap_or_default(), token: self.auth_token.unwrap_or_default() };
        (remote, plain)
    }
}

impl Draft {
    /// The request over what stood before, checked. `private` says whether the
    /// caller may have private addresses dialled.
    pub(super) fn read(
        kind: Kind,
        mut form: MirrorForm,
        before: Option<&Policy>,
        private: bool,
    ) -> Result<Self, ApiError> {
        let kept = |given: Option<String>, before: Option<&String>, default: &str| {
            given.filter(|text| !text.is_empty()).or_else(|| before.cloned()).unwrap_or_else(|| default.to_owned())
        };
        let rules = match (form.rules.take(), before) {
            (Some(given), _) => rules(given).map_err(|why| ApiError::Policy { kind, why })?,
            (None, Some(before)) => before.rules.clone(),
            (None, None) => Vec::new(),
        };
        let stored_schedule = before.and_then(|before| match &before.body {
            PolicyBody::Pull { schedule, .. } => Some(schedule),
            PolicyBody::Promotion { .. } | PolicyBody::Push { .. } => None,
        });
        let mut draft = Self {
            enabled: form.enabled.or(before.map(|before| before.enabled)).unwrap_or(true),
            rules,
            tag_template: kept(form.tag_template.take(), before.map(|before| &before.tag_template), "%n"),
            time_zone: kept(form.time_zone.take(), before.map(|before| &before.time_zone), "UTC"),
            schedule: kept(form.schedule.take(), stored_schedule, SCHEDULE),
            remote: Remote {
                host: String::new(),
                repository: String::new(),
                username: String::new(),
                password: None,
                token: None,
                ca: String::new(),
                skip_tls_verification: false,
                private,
            },
            plain: None,
            asks: true,
        };
        draft.merge(form, before.and_then(Policy::remote));
        if let Some(before) = before {
            let stood = before.remote();
            let moved = stood.is_none_or(|stood| Remote { private: stood.private, ..draft.remote.clone() } != *stood);
            draft.asks = moved || draft.plain.is_some() || (draft.enabled && !before.enabled);
        }
        draft.check(kind).map_err(|why| ApiError::Policy { kind, why })?;
        Ok(draft)
    }

    /// The request's remote over the one that stood.
    fn merge(&mut self, form: MirrorForm, stood: Option<&Remote>) {
        let private = self.remote.private;
        let brings = |secret: &Option<Secret>| secret.as_ref().is_some_and(|secret| !secret.is_empty());
        let named = brings(&form.password) || brings(&form.auth_token);
        let Some(stood) = stood else {
            let (remote, plain) = form.remote(private);
            self.remote = remote;
            self.plain = named.then_some(plain);
            return;
        };
        let signs_out = form.username.as_deref() == Some("") && !stood.username.is_empty();
        let text = |given: &Option<String>, stood: &String| {
            given.clone().filter(|text| !text.is_empty()).unwrap_or_else(|| stood.clone())
        };
        let host = text(&form.remote_host, &stood.host);
        let keeps = !named && !signs_out && same_origin(&host, &stood.host);
        self.remote = Remote {
            host,
            repository: text(&form.remote_repository, &stood.repository),
            username: form.username.clone().unwrap_or_else(|| stood.username.clone()),
            password: stood.password.clone().filter(|_| keeps),
            token: stood.token.clone().filter(|_| keeps),
            ca: form.remote_ca.clone().unwrap_or_else(|| stood.ca.clone()),
            skip_tls_verification: form.skip_tls_verification.unwrap_or(stood.skip_tls_verification),
            private,
        };
        self.plain = named.then(|| form.remote(private).1);
    }

    /// Checks the texts; what is wrong, and what is allowed.
    fn check(&mut self, kind: Kind) -> Result<(), String> {
        self.rules = Rules::parse(std::mem::take(&mut self.rules)).map_err(|error| error.to_string())?.to_raw();
        let zone = zone::parse(&self.time_zone).map_err(|error| format!("timeZone: {error}"))?;
        match kind {
            Kind::PullMirror => {
                self.tag_template.parse::<Rename>().map_err(|error: RenameError| format!("tagTemplate: {error}"))?;
                Schedule::parse(&self.schedule, zone).map_err(|error| format!("schedule: {error}"))?;
            }
            Kind::PushMirror | Kind::Promotion => {
                self.tag_template
                    .parse::<Template>()
                    .map_err(|error: TemplateError| format!("tagTemplate: {error}"))?;
            }
        }
        remote::check(&self.remote).map_err(|error| error.to_string())
    }

    /// The credentials in clear, from the request or from the row of `id`.
    pub(super) fn credentials(&self, remotes: &Remotes, id: &crate::chance::Id) -> Result<Plain, ApiError> {
        match &self.plain {
            Some(plain) => Ok(plain.clone()),
            None => remotes.unseal(id, &self.remote).map_err(|error| ApiError::Remote(error.to_string())),
        }
    }
}
