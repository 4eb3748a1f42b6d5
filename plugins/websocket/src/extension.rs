//! [`Extension`]s as a client offers them (RFC 6455 §9.1): names and parameters, whatever they mean.

use uwrs_api::{is_blank, is_token_byte};

/// One element of a Sec-WebSocket-Extensions field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extension {
    /// A token.
    pub(crate) name: String,
    /// Names and, where given, values, in order; a quoted value is a token without its quotes.
    pub(crate) parameters: Vec<(String, Option<String>)>,
}

/// A field that does not have the form it must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Reads the value of one field. Empty elements are skipped (RFC 9110 §5.6.1).
pub(crate) fn parse(value: &[u8]) -> Result<Vec<Extension>, Malformed> {
    let mut reader = Reader { rest: value };
    let mut extensions = Vec::new();
    loop {
        match reader.peek() {
            None => return Ok(extensions),
            Some(b',') => reader.skip(),
            Some(_) => {
                extensions.push(reader.extension()?);
                if !matches!(reader.peek(), None | Some(b',')) {
                    return Err(Malformed);
                }
            }
        }
    }
}

/// A cursor that does not care about blanks between the elements of the grammar.
struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    /// The next byte that is no blank, not consumed.
    fn peek(&mut self) -> Option<u8> {
        let blanks = self.rest.iter().take_while(|&&byte| is_blank(byte)).count();
        self.rest = &self.rest[blanks..];
        self.rest.first().copied()
    }

    /// Consumes what `peek` gave.
    fn skip(&mut self) {
        self.rest = &self.rest[1..];
    }

    /// Consumes `byte` if that is what comes.
    fn takes(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        if is_next {
            self.skip();
        }
        is_next
    }

    fn extension(&mut self) -> Result<Extension, Malformed> {
        let name = self.token()?;
        let mut parameters = Vec::new();
        while self.takes(b';') {
            let name = self.token()?;
            let value = match self.takes(b'=') {
                true => Some(self.value()?),
                false => None,
            };
            parameters.push((name, value));
        }
        Ok(Extension { name, parameters })
    }

    fn token(&mut self) -> Result<String, Malformed> {
        self.peek();
        let end = self.rest.iter().position(|&byte| !is_token_byte(byte));
        let (token, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        match token {
            [] => Err(Malformed),
            // Tokens are ASCII.
            token => Ok(token.iter().copied().map(char::from).collect()),
        }
    }

    /// A token, or a token in quotes, of which each byte may have a backslash before it.
    fn value(&mut self) -> Result<String, Malformed> {
        if !self.takes(b'"') {
            return self.token();
        }
        let mut value = String::new();
        loop {
            let (byte, rest) = match self.rest {
                [b'"', rest @ ..] if !value.is_empty() => {
                    self.rest = rest;
                    return Ok(value);
                }
                [b'\\', byte, rest @ ..] | [byte, rest @ ..] => (*byte, rest),
                [] => return Err(Malformed),
            };
            if !is_token_byte(byte) {
                return Err(Malformed);
            }
            value.push(char::from(byte));
            self.rest = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As it would be written with one blank after `;` and `,`.
    fn rewritten(value: &str) -> Result<String, Malformed> {
        let extensions = parse(value.as_bytes())?;
        let written = extensions.iter().map(|extension| {
            let parameters = extension.parameters.iter().map(|(name, value)| match value {
                Some(value) => format!("; {name}={value}"),
                None => format!("; {name}"),
            });
            extension.name.clone() + &parameters.collect::<String>()
        });
        Ok(written.collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn names_parameters_and_values_are_read() {
        for (value, expected) in [
            ("", ""),
            (" , ,", ""),
            ("foo", "foo"),
            ("foo , bar;baz=2", "foo, bar; baz=2"),
            ("a;b;c = d;e=\"f\", g", "a; b; c=d; e=f, g"),
            ("a; b=\"1\\0\"", "a; b=10"),
            (" a\t;\tb ", "a; b"),
        ] {
            assert_eq!(rewritten(value).as_deref(), Ok(expected), "{value:?}");
        }
    }

    #[test]
    fn what_has_another_form_is_malformed() {
        for value in [
            "a b",
            "a;",
            "a;,b",
            "a;=b",
            "a;b=",
            "a;b=\"",
            "a;b=\"\"",
            "a;b=\"c d\"",
            "a;b=\"c\"d",
            "=a",
            ";a",
            "a;b=c=d",
            "ä",
            "a/b",
            "a;b=\"\\",
            "a;b=\"\\\"\"",
        ] {
            assert_eq!(rewritten(value), Err(Malformed), "{value:?}");
        }
    }
}
