//! The daemon's HTTP side over a store in a temporary folder, on loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tidegate::access::Level;
use tidegate::chance::Chance;
use tidegate::clock::Clock;
use tidegate::http::{Options, Parts, Spec, State, bind, handle, serve};
use tidegate::identity::token::TOKEN_KEY;
use tidegate::identity::{Guesses, Passwords, SealingKeys, Signer};
use tidegate::jobs::Remotes;
use tidegate::lifecycle::Scope;
use tidegate::registry::access_token::NewToken;
use tidegate::registry::account::NewAccount;
use tidegate::registry::grant::Place;
use tidegate::registry::repository::Settings;
use tidegate::registry::{Caller, Registry};
use tidegate::remote::{Names, Outbound, OutboundOptions, Timing};
use tidegate::secret::Secret;
use tidegate::store::Store;
use tidegate::store::record::Origin;

use super::Any;

/// How many repositories there are beside the one that is asked about.
const REPOSITORIES: usize = 200;

/// One that listens.
pub(crate) struct Daemon {
    pub(crate) address: SocketAddr,
    pub(crate) clock: Clock,
    /// Access tokens of `stranger`, who has nothing in `dev`, and of `member`,
    /// whose team has a grant on `dev/other`.
    pub(crate) stranger: String,
    pub(crate) member: String,
    scope: Scope,
    _folder: tempfile::TempDir,
}

impl Daemon {
    pub(crate) async fn start() -> Result<Self, Any> {
        let folder = tempfile::tempdir()?;
        let (clock, chance, scope) = (Clock::system(), Chance::system(), Scope::new());
        let store = Store::open(folder.path(), clock.clone(), chance.clone())?;
        let registry = Registry::new(store.clone())?;
        let passwords = Passwords::new(&chance);
        let [stranger, member] = populate(&registry, &passwords).await?;
        let outbound = Outbound::new(OutboundOptions {
            scope: scope.child(),
            clock: clock.clone(),
            own: Vec::new(),
            allow: Vec::new(),
            user_agent: "tidegate/bench".to_owned(),
            timing: Timing::default(),
            names: Names::System,
        });
        let keys = SealingKeys::of_file(&folder.path().join("sealing.key"), &chance)?;
        let state = State::new(Parts {
            registry,
            passwords,
            signer: Signer::open_or_create(&folder.path().join(TOKEN_KEY), store.instance(), &chance)?,
            // What waits is not measured.
            guesses: Guesses::allowing(u32::MAX, Duration::ZERO),
            ca_pem: None,
            remotes: Remotes::new(outbound, keys),
            key_files: Vec::new(),
            scrub: tidegate::jobs::scrub::Settings::default(),
            rate: tidegate::http::rate::Rate::new(0),
            tally: Arc::default(),
        });
        let bound = bind(Spec::Tcp { address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), tls: None }, 1).await?;
        let address = bound.local_addr().ok_or("no address")?;
        let handler = move |request, peer| handle(state.clone(), request, peer);
        scope.spawn(serve(bound, scope.clone(), Options::default(), handler));
        Ok(Self { address, clock, stranger, member, scope, _folder: folder })
    }

    pub(crate) async fn stop(self) {
        self.scope.drain(Duration::from_secs(10)).await;
    }
}

/// Accounts, an organization with repositories, and the two tokens.
async fn populate(registry: &Registry, passwords: &Passwords) -> Result<[String; 2], Any> {
    let system = &Caller::System;
    let hash = passwords.hash(&Secret::new("correct horse battery")).await?;
    for (name, is_org) in [("there", false), ("stranger", false), ("member", false), ("dev", true)] {
        let password_hash = (!is_org).then(|| hash.clone());
        let (name, full_name) = (name.to_owned(), String::new());
        let new = NewAccount { name, full_name, is_org, is_admin: false, is_active: true, password_hash };
        registry.create_account(system, new).await?;
    }
    let numbered = (0..REPOSITORIES).map(|number| format!("dev/app-{number}"));
    for name in numbered.chain(["dev/hidden".to_owned(), "dev/other".to_owned()]) {
        registry.create_repository(system, &name.parse()?, Settings::default()).await?;
    }
    registry.create_team(system, "dev", ("web".to_owned(), String::new())).await?;
    registry.put_team_member(system, ("dev", "web"), "member", None).await?;
    registry.grant(system, Place::Repository("dev/other".parse()?), "web", Level::ReadOnly).await?;
    let mut tokens = [String::new(), String::new()];
    for (token, name) in tokens.iter_mut().zip(["stranger", "member"]) {
        let (label, creator_ua) = (String::new(), String::new());
        let new = NewToken { label, origin: Origin::Made, creator_ua, scopes: None, lasts: None };
        let (_, account) = registry.account(name)?;
        *token = registry.make_token(None, &account.id, new).await?.text.expose().to_owned();
    }
    Ok(tokens)
}
