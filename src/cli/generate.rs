//! `completions` and `man`: made from the definition of the command line, so
//! that they never say anything else.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::arguments::Arguments;
use super::error::CliError;
use super::terminal::Terminal;
use crate::config::Environment;

/// `completions`' words.
#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// `man`'s words.
#[derive(Args, Debug)]
pub struct ManArgs {
    /// Where to write a page for every command
    #[arg(value_name = "DIR")]
    pub folder: Option<PathBuf>,
}

/// Prints completions.
///
/// # Errors
/// [`CliError::Output`].
pub fn completions(wanted: &CompletionsArgs, terminal: &mut Terminal<'_>) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(wanted.shell, &mut Arguments::command(), "tidegate", &mut script);
    Ok(terminal.stdout.write_all(&script)?)
}

/// Prints the main page, or writes all pages to a folder.
///
/// # Errors
/// [`CliError::Output`] or [`CliError::Pages`].
pub fn man(wanted: &ManArgs, environment: &Environment, terminal: &mut Terminal<'_>) -> Result<(), CliError> {
    let Some(folder) = &wanted.folder else {
        return Ok(clap_mangen::Man::new(Arguments::command()).render(terminal.stdout)?);
    };
    let path = environment.absolute(folder);
    let written = std::fs::create_dir_all(&path).and_then(|()| clap_mangen::generate_to(Arguments::command(), &path));
    written.map_err(|source| CliError::Pages { path, source })
}

#[cfg(test)]
mod tests {
    use crate::cli::fake::Fake;

    #[tokio::test]
    async fn every_packaged_shell_has_completions_for_every_command() {
        let fake = Fake::new(Vec::new());
        for shell in ["bash", "zsh", "fish"] {
            let script = fake.run(&["completions", shell], "").await.done();
            for word in ["pull-mirror", "skip-tls-verification", "why"] {
                assert!(script.contains(word), "{shell} {word}");
            }
        }
    }

    #[tokio::test]
    async fn every_command_has_a_page() {
        let fake = Fake::new(Vec::new());
        assert!(fake.run(&["man"], "").await.done().contains(".TH tidegate 1"));
        fake.run(&["man", "pages"], "").await.done();
        let folder = fake.environment().current_dir.join("pages");
        for page in ["tidegate.1", "tidegate-serve.1", "tidegate-pull-mirror-create.1"] {
            assert!(folder.join(page).is_file(), "{page}");
        }
    }
}
