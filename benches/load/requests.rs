//! One GET or HEAD over and over, for what wrk cannot send: it waits for the
//! body of an answer to HEAD.

use std::time::Duration;

use anyhow::Result;
use http::Method;

use crate::client::{Ask, Connection, PlaceArgs};
use crate::figures::Figures;
use crate::workers::{End, closed_loop};

/// What is asked, and for how long.
#[derive(clap::Args, Debug)]
pub(crate) struct Requests {
    #[command(flatten)]
    place: PlaceArgs,
    #[arg(long)]
    path: String,
    #[arg(long, default_value = "HEAD")]
    method: Method,
    #[arg(long)]
    accept: Option<String>,
    #[arg(long, default_value_t = 16)]
    connections: usize,
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
}

impl Requests {
    /// Does it and measures it.
    pub(crate) async fn run(&self) -> Result<Figures> {
        let each = async |connection: &mut Connection, _| {
            let mut ask = Ask::new(self.method.clone(), &self.path);
            ask.accept = self.accept.as_deref();
            connection.expect(ask, &[200]).await.map(drop)
        };
        let end = End::After(Duration::from_secs_f64(self.seconds));
        Ok(closed_loop(&self.place.place()?, self.connections, end, each).await?.figures())
    }
}
