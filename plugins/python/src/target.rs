//! `module = …` taken apart: which module, and the way from there to the callable. Text only; importing is the
//! loader's business.

/// `pkg.mod:callable.attribute()`, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModuleTarget {
    /// `pkg.mod`
    pub(crate) module: String,
    /// How the callable is found there; `None`: by the default name.
    pub(crate) callable: Option<CallablePath>,
}

/// `callable.attribute`, or a factory with `()` behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallablePath {
    /// Names to look up, one in the other.
    pub(crate) names: Vec<String>,
    /// Call what was found, without arguments, and take what it returns.
    pub(crate) is_factory: bool,
}

impl ModuleTarget {
    /// Parses what `module` was set to. An error is one sentence without its place.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (module, callable) = match text.split_once(':') {
            Some((module, callable)) => (module.trim(), Some(CallablePath::parse(callable)?)),
            None => (text, None),
        };
        if module.ends_with(".py") || module.contains('/') {
            return Err(format!(
                "{module} is a file: say wsgi-file = {module}, or name the module, with dots and without .py"
            ));
        }
        if module.is_empty() || module.split('.').any(|name| !is_identifier(name)) {
            return Err(format!("not the name of a module: \"{module}\""));
        }
        Ok(Self {
            module: module.to_owned(),
            callable,
        })
    }
}

impl CallablePath {
    /// Parses `application`, `site.wsgi`, `create_app()`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (path, is_factory) = match text.split_once('(') {
            None => (text, false),
            Some((path, rest)) if rest.trim() == ")" => (path.trim_end(), true),
            Some((path, _)) => {
                return Err(format!(
                    "{path} is called without arguments only: wrap \"{text}\" in a function that takes none"
                ));
            }
        };
        if path.split('.').any(|name| !is_identifier(name)) {
            return Err(format!("not the name of a callable: \"{text}\""));
        }
        Ok(Self {
            names: path.split('.').map(str::to_owned).collect(),
            is_factory,
        })
    }

    /// As it was written.
    pub(crate) fn text(&self) -> String {
        let call = if self.is_factory { "()" } else { "" };
        format!("{}{call}", self.names.join("."))
    }
}

/// Python's identifiers, near enough: what is not ASCII is left to Python.
fn is_identifier(name: &str) -> bool {
    let is_part = |character: char| character == '_' || character.is_alphanumeric();
    !name.is_empty() && name.chars().all(is_part) && !name.starts_with(|first: char| first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(module: &str, callable: Option<(&[&str], bool)>) -> Result<ModuleTarget, String> {
        Ok(ModuleTarget {
            module: module.to_owned(),
            callable: callable.map(|(names, is_factory)| CallablePath {
                names: names.iter().copied().map(str::to_owned).collect(),
                is_factory,
            }),
        })
    }

    #[test]
    fn modules_callables_and_factories_are_told_apart() {
        assert_eq!(ModuleTarget::parse("app"), target("app", None));
        assert_eq!(ModuleTarget::parse(" config.wsgi "), target("config.wsgi", None));
        assert_eq!(
            ModuleTarget::parse("a.b:site.wsgi"),
            target("a.b", Some((&["site", "wsgi"], false)))
        );
        assert_eq!(
            ModuleTarget::parse("app:create()"),
            target("app", Some((&["create"], true)))
        );
        assert_eq!(
            ModuleTarget::parse("app : create ( )"),
            target("app", Some((&["create"], true)))
        );
    }

    #[test]
    fn what_is_no_module_is_refused_with_the_reason() {
        let error = |text| ModuleTarget::parse(text).unwrap_err();
        assert!(error("app.py").contains("say wsgi-file = app.py"));
        assert!(error("sub/app.py:x").contains("sub/app.py is a file"));
        assert!(error("").contains("not the name of a module"));
        assert!(error("a..b").contains("not the name of a module: \"a..b\""));
        assert!(error("app:").contains("not the name of a callable"));
        assert!(error("app:make('x')").contains("make is called without arguments only"));
    }
}
