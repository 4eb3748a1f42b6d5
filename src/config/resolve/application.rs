//! The application and its interpreter.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Resolver, absolute, way_out};
use crate::config::glob;
use crate::config::host::FileKind;
use crate::config::resolved::{
    ApplicationConfig, CompressionOption, EnvironmentChange, InterfaceOption, LifespanOption, LoopOption,
    Mount, WarmUp, WebSocketLimits,
};
use crate::config::said::{Origin, Setting};

impl<'a> Resolver<'a> {
    /// The application. Relative paths start in `chdir`, as they do once the process has gone there.
    pub(super) fn application(&mut self) -> Option<ApplicationConfig> {
        let start = self.start_directory();
        let chdir = self.directory("chdir", &start);
        let base = chdir.clone().unwrap_or_else(|| start.clone());
        // Where chdir is wrong, everything below it would be said to be missing too.
        let is_based = chdir.is_some() || self.options.last("chdir").is_none();
        let home = if is_based { self.home(&base, &start) } else { None };
        let chdir2 = if is_based {
            self.directory("chdir2", &base)
        } else {
            None
        };
        let (module, wsgi_file) = self.target();
        let mounts = self.mounts();
        let need_app = self.flag("need-app");
        self.need_application(
            need_app,
            module.is_some() || wsgi_file.is_some() || !mounts.is_empty(),
        );
        let threads = self.count("threads");
        let spare_threads = self.count("spare-threads");
        let interface = self.choice(
            "interface",
            &[
                ("auto", InterfaceOption::Auto),
                ("wsgi", InterfaceOption::Wsgi),
                ("asgi", InterfaceOption::Asgi),
                ("asgi3", InterfaceOption::Asgi),
                ("asgi2", InterfaceOption::Asgi2),
            ],
        );
        let event_loop = self.event_loop();
        let greenlets = self.greenlets(threads);
        let lifespan = self.choice(
            "lifespan",
            &[
                ("auto", LifespanOption::Auto),
                ("on", LifespanOption::On),
                ("off", LifespanOption::Off),
            ],
        );
        let autoreload = self.number("py-autoreload");
        Some(ApplicationConfig {
            pythonpath: self.pythonpath(&base, is_based),
            argv: self.argv(),
            imports: self
                .texts("import")
                .iter()
                .map(|setting| setting.value.clone())
                .collect(),
            callable: self.text("callable").map(|setting| setting.value.clone()),
            interface: interface?,
            event_loop: event_loop?,
            lifespan: lifespan?,
            websockets: self.websockets()?,
            manage_script_name: self.flag("manage-script-name"),
            disable_file_wrapper: self.flag("wsgi-disable-file-wrapper"),
            disable_write_exception: self.flag("disable-write-exception"),
            lazy: self.flag("lazy-apps"),
            environment: self.environment(),
            autoreload: autoreload.filter(|seconds| *seconds > 0).map(Duration::from_secs),
            chdir,
            chdir2,
            home,
            module,
            wsgi_file,
            warm_up: self.warm_up(),
            mounts,
            need_app,
            threads: threads?,
            spare_threads: spare_threads?,
            greenlets: greenlets?,
        })
    }

    fn websockets(&mut self) -> Option<WebSocketLimits> {
        let kibibytes = self.count("websockets-max-size");
        let interval = self.number("websockets-ping-freq");
        let timeout = self.number("websockets-pong-tolerance");
        let compression = self.choice(
            "websockets-compression",
            &[
                ("takeover", CompressionOption::Takeover),
                ("each", CompressionOption::Each),
                ("off", CompressionOption::Off),
            ],
        );
        Some(WebSocketLimits {
            message_bytes: kibibytes? * 1024,
            ping_interval: Some(interval?)
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
            ping_timeout: Duration::from_secs(timeout?),
            compression: compression?,
        })
    }

    /// `loop`, as far as it is about ASGI.
    fn event_loop(&mut self) -> Option<LoopOption> {
        self.choice(
            "loop",
            &[
                ("auto", LoopOption::Auto),
                ("asyncio", LoopOption::Asyncio),
                ("uvloop", LoopOption::Uvloop),
                // See `greenlets`.
                ("gevent", LoopOption::Auto),
            ],
        )
    }

    /// Where relative paths start once the process has gone to `chdir`.
    pub(super) fn directory_of_application(&self, application: &Option<ApplicationConfig>) -> PathBuf {
        let chdir = application
            .as_ref()
            .and_then(|application| application.chdir.clone());
        chdir.unwrap_or_else(|| self.start_directory())
    }

    /// The virtualenv: seen from `chdir`, as in uWSGI, or else from where the program was started.
    fn home(&mut self, base: &Path, start: &Path) -> Option<PathBuf> {
        let setting = self.text("home")?;
        let paths = [absolute(base, &setting.value), absolute(start, &setting.value)];
        let found = paths
            .iter()
            .find(|path| self.host.kind(path) == Some(FileKind::Directory));
        if let Some(path) = found {
            self.became(setting, path.display());
            return Some(path.clone());
        }
        if paths[0] == paths[1] || self.host.kind(&paths[0]).is_some() {
            self.must_be_directory(setting, &paths[0]);
        } else {
            let reason = format!(
                "no such directory: neither {} nor {}{}",
                paths[0].display(),
                paths[1].display(),
                way_out(setting)
            );
            self.problems.error(&setting.origin, &setting.name, reason);
        }
        None
    }

    /// The module or the file, whichever was said last.
    fn target(&mut self) -> (Option<String>, Option<PathBuf>) {
        let module = self.text("module");
        let file = self.text("wsgi-file");
        if let (Some(module), Some(file)) = (module, file) {
            let (used, dropped) = if module.place > file.place {
                (module, file)
            } else {
                (file, module)
            };
            let reason = format!(
                "there is also {} = {} ({}), which was said later and is used",
                used.name, used.value, used.origin
            );
            // A flag is there to override what a file says.
            let is_on_purpose =
                !matches!(dropped.origin, Origin::File { .. }) || matches!(used.origin, Origin::Flag(_));
            if !is_on_purpose {
                self.problems.warn_about(dropped, reason);
            }
            self.became(dropped, format!("overridden by {}", used.origin));
        }
        let is_later = |setting: &Setting, other: Option<&Setting>| {
            other.is_none_or(|other| setting.place > other.place)
        };
        (
            module
                .filter(|setting| is_later(setting, file))
                .map(|setting| setting.value.clone()),
            file.filter(|setting| is_later(setting, module))
                .map(|setting| PathBuf::from(&setting.value)),
        )
    }

    fn need_application(&mut self, need_app: bool, is_there: bool) {
        if need_app && !is_there && !self.is_emperor() {
            self.problems.missing(
                "no application: say which, e.g. module = config.wsgi in the file or --module config.wsgi \
                 (need-app = false serves without one)",
            );
        }
    }

    fn mounts(&mut self) -> Vec<Mount> {
        let mut mounts: Vec<Mount> = Vec::new();
        for setting in self.texts("mount") {
            let mount = match mount(setting) {
                Ok(mount) => mount,
                Err(reason) => {
                    self.problems.error(&setting.origin, &setting.name, reason);
                    continue;
                }
            };
            if let Some(other) = mounts.iter().find(|known| known.point == mount.point) {
                let reason = format!("\"{}\" is taken by {} already", mount.point, other.origin);
                self.problems.error(&setting.origin, &setting.name, reason);
                continue;
            }
            mounts.push(mount);
        }
        mounts
    }

    fn warm_up(&mut self) -> Vec<WarmUp> {
        let is_loaded_once = !self.flag("lazy-apps") && self.flag("master");
        let mut requests = Vec::new();
        for setting in self.texts("warm-up") {
            match warm_up(setting) {
                Ok(_) if !is_loaded_once => {
                    let reason =
                        "nothing is loaded before there are workers (lazy-apps, master = false): ignored";
                    self.problems.warn_about(setting, reason);
                }
                Ok(request) => requests.push(request),
                Err(reason) => self.problems.error(&setting.origin, &setting.name, reason),
            }
        }
        requests
    }

    fn pythonpath(&mut self, base: &Path, is_based: bool) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        for setting in self.texts("pythonpath") {
            let path = absolute(base, &setting.value);
            self.became(setting, path.display());
            let is_missing = !glob::is_pattern(&setting.value) && self.host.kind(&path).is_none();
            if is_missing && is_based {
                let reason = format!(
                    "no such directory, Python will not find anything there: {}",
                    path.display()
                );
                self.problems.warn_about(setting, reason);
            }
            paths.push(path);
        }
        paths
    }

    fn argv(&mut self) -> Vec<String> {
        let words = self
            .text("pyargv")
            .map(|setting| setting.value.split_whitespace());
        words
            .map(|words| words.map(str::to_owned).collect())
            .unwrap_or_default()
    }

    fn environment(&mut self) -> Vec<EnvironmentChange> {
        let options = self.options;
        let mut changes = Vec::new();
        for setting in options.settings() {
            let name = setting.definition.map(|known| known.name);
            if !matches!(name, Some("env" | "unenv")) || !self.plain(setting) {
                continue;
            }
            let is_set = name == Some("env");
            match (is_set, setting.value.split_once('=')) {
                (true, Some((name, value))) if !name.is_empty() => {
                    changes.push(EnvironmentChange::Set(name.to_owned(), value.to_owned()));
                }
                (false, None) => changes.push(EnvironmentChange::Unset(setting.value.clone())),
                (true, _) => {
                    let reason = format!("not NAME=VALUE: \"{}\"", setting.value);
                    self.problems.error(&setting.origin, &setting.name, reason);
                }
                (false, _) => {
                    let reason = format!("not the name of a variable: \"{}\"", setting.value);
                    self.problems.error(&setting.origin, &setting.name, reason);
                }
            }
        }
        changes
    }
}

fn warm_up(setting: &Setting) -> Result<WarmUp, String> {
    let value = setting.value.as_str();
    let (host, target) = match value.strip_prefix("http://") {
        Some(rest) => rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())),
        None => ("localhost", value),
    };
    let target = if target.is_empty() { "/" } else { target };
    let is_plain = value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if host.is_empty() || !target.starts_with('/') || !is_plain {
        return Err(format!("not /PATH, and not http://HOST/PATH: \"{value}\""));
    }
    Ok(WarmUp {
        host: host.to_owned(),
        target: target.to_owned(),
    })
}

fn mount(setting: &Setting) -> Result<Mount, String> {
    let Some((point, target)) = setting.value.split_once('=') else {
        return Err(format!("not /POINT=TARGET: \"{}\"", setting.value));
    };
    let (point, target) = (point.trim(), target.trim());
    if !point.is_empty() && !point.starts_with('/') {
        return Err(format!("a mount point begins with a slash, \"{point}\" does not"));
    }
    if target.is_empty() {
        return Err(format!("needs a module or a file behind {point}="));
    }
    Ok(Mount {
        point: point.trim_end_matches('/').to_owned(),
        target: target.to_owned(),
        origin: setting.origin.to_string(),
    })
}
