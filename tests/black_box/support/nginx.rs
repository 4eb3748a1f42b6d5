//! Debian's nginx in front of a server.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use super::client::Connection;
use super::directory::Directory;
use super::process;
use super::wait::{PATIENCE, soon, within};

/// nginx with one server block. Dropping it stops it.
pub(crate) struct Nginx {
    directory: Directory,
    child: Child,
    port: u16,
}

impl Nginx {
    /// nginx with `location` as the content of its server block. `None`, said aloud, where the machine has no nginx.
    pub(crate) fn start(location: &str) -> Option<Self> {
        let program = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"]
            .into_iter()
            .find(|path| Path::new(path).exists());
        let Some(program) = program else {
            super::skip("this machine has no nginx (tests/run installs it where it may)");
            return None;
        };
        let directory = Directory::new();
        // nginx takes no port 0: one that is free now, and a second try where someone was quicker.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port();
            directory.write("nginx.conf", configuration(directory.path(), port, location));
            let mut child = Command::new(program)
                .args(["-e", "error.log", "-c", "nginx.conf", "-p"])
                .arg(directory.path())
                .current_dir(directory.path())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let address = ([127, 0, 0, 1], port).into();
            let up = within(PATIENCE, || match child.try_wait().unwrap() {
                Some(_) => Some(false),
                None => Connection::try_tcp(address).is_ok().then_some(true),
            });
            if up == Some(true) {
                return Some(Self {
                    directory,
                    child,
                    port,
                });
            }
        }
        let log = fs::read_to_string(directory.path().join("error.log")).unwrap_or_default();
        panic!("nginx does not start:\n{log}");
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A connection to it.
    pub(crate) fn connect(&self) -> Connection {
        Connection::tcp(self.port)
    }

    /// What it complains of.
    pub(crate) fn error_log(&self) -> String {
        fs::read_to_string(self.directory.path().join("error.log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let pid = self.child.id().cast_signed();
        process::signal(pid, Signal::SIGTERM);
        let _ = self.child.wait();
        if !std::thread::panicking() {
            soon("nginx leaves", || process::children(pid).is_empty());
        }
    }
}

fn configuration(directory: &Path, port: u16, location: &str) -> String {
    let root = directory.display();
    format!(
        "daemon off; master_process off; pid {root}/pid; error_log error.log info;
        events {{ worker_connections 256; }}
        http {{
            access_log off;
            client_max_body_size 100m;
            client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi;
            uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
            server {{
                listen 127.0.0.1:{port};
                server_name example.org;
                {location}
            }}
        }}"
    )
}
