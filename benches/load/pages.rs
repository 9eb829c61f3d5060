//! A listing walked from its first page to its last, by `Link`.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use http::{Method, Uri, header};
use serde_json::Value;

use crate::client::{Answer, Ask, PlaceArgs};
use crate::figures::{Figures, Timed};

/// Which listing.
#[derive(clap::Args, Debug)]
pub(crate) struct Pages {
    #[command(flatten)]
    place: PlaceArgs,
    /// Path and query of the first page
    #[arg(long)]
    path: String,
    /// The list in each page
    #[arg(long)]
    list: String,
}

impl Pages {
    /// Walks it and measures it.
    pub(crate) async fn run(&self) -> Result<Figures> {
        let mut connection = self.place.place()?.connect().await?;
        let (mut path, mut entries, mut each) = (self.path.clone(), 0, Vec::<Duration>::new());
        let begun = Instant::now();
        loop {
            let asked = Instant::now();
            let answer = connection.expect(Ask::new(Method::GET, &path), &[200]).await?;
            each.push(asked.elapsed());
            let page: Value = serde_json::from_slice(&answer.body)?;
            // An empty list is null for some.
            entries += page[&self.list].as_array().map_or(0, Vec::len);
            match next(&answer)? {
                Some(link) => path = link,
                None => break,
            }
        }
        let (whole, pages) = (begun.elapsed(), each.len() as f64);
        Ok(Timed { whole, each }.figures().with("entries", entries as f64).with("pages", pages))
    }
}

fn next(answer: &Answer) -> Result<Option<String>> {
    let Some(link) = answer.headers.get(header::LINK) else { return Ok(None) };
    let text = link.to_str()?;
    let target = text.strip_prefix('<').and_then(|rest| rest.split_once('>')).context("a Link without <>")?.0;
    let uri: Uri = target.parse().with_context(|| format!("Link {target:?}"))?;
    Ok(uri.path_and_query().map(ToString::to_string))
}
