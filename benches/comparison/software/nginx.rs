//! nginx with the files of `data` under the paths that registries give them:
//! sendfile, open files kept open, no log, as many workers as cores.

use std::process::Command;

use anyhow::Result;

use super::Site;

pub(super) fn command(site: &Site<'_>) -> Result<Command> {
    let (folder, data) = (site.folder, site.data());
    std::fs::create_dir_all(&data)?;
    // The folder is nobody else's; workers of root's are another user's unless told.
    let user = if rustix::process::getuid().is_root() { "user root;" } else { "" };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path {};\n", folder.join(kind).display()))
        .concat();
    let text = format!(
        "daemon off;\nworker_processes auto;\n{user}\npid {pid};\nerror_log stderr error;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n{temporary}  access_log off;\n  sendfile on;\n  tcp_nopush on;\n  keepalive_requests 1000000000;\n  \
         open_file_cache max=1000 inactive=1h;\n  default_type application/octet-stream;\n  root {data};\n  \
         server {{ listen {plain} reuseport; listen {tls} ssl http2 reuseport; http2_max_requests 1000000000;\n    \
         ssl_certificate {certificate}; ssl_certificate_key {key};\n  }}\n}}\n",
        pid = folder.join("nginx.pid").display(),
        data = data.display(),
        plain = site.plain,
        tls = site.tls,
        certificate = site.ground.certificate().display(),
        key = site.ground.key().display(),
    );
    let path = folder.join("nginx.conf");
    std::fs::write(&path, text)?;
    let mut command = Command::new(site.program);
    command.arg("-p").arg(folder).arg("-e").arg("stderr").arg("-c").arg(path);
    Ok(command)
}
