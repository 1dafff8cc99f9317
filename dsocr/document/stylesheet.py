"""How an HTML page of a document looks, by day and by night: quiet, wide enough to read, nothing from outside."""

STYLESHEET = """\
:root { color-scheme: light dark; --ground: #f3f2ee; --sheet: #fff; --ink: #1d1f21; --soft: #6b6f76; --line: #d9d7d0;
  --tint: #f7f6f2; --warn: #9a3412; }
@media (prefers-color-scheme: dark) { :root { --ground: #141518; --sheet: #1e2024; --ink: #e4e2dc; --soft: #9a9ea6;
  --line: #3a3d44; --tint: #26292e; --warn: #fdba74; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 2rem 1rem; background: var(--ground); color: var(--ink);
  font: 1.0625rem/1.6 Georgia, "Noto Serif", "Noto Serif CJK SC", "Songti SC", serif; }
main, body > header { max-width: 48rem; margin: 0 auto; }
body > header { color: var(--soft); font: 0.875rem/1.4 system-ui, sans-serif; overflow-wrap: anywhere; }
section { margin: 1rem 0 2rem; padding: 2rem clamp(1rem, 6vw, 3.5rem) 2.5rem; background: var(--sheet);
  border: 1px solid var(--line); border-radius: 4px; overflow-wrap: anywhere; }
section > header { margin: -0.75rem 0 1rem; color: var(--soft); font: 0.8125rem/1.4 system-ui, sans-serif; }
section > header b { color: var(--warn); font-weight: 600; }
a { color: inherit; text-decoration: none; }
h1, h2, h3, h4, h5, h6 { margin: 1.4em 0 0.5em; line-height: 1.25; font-weight: 600; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.3rem; } h3 { font-size: 1.1rem; } h4, h5, h6 { font-size: 1rem; }
p, ul, ol, figure, .math.display, .scroll { margin: 0.75em 0; }
section > div:first-of-type > :first-child { margin-top: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9375rem; line-height: 1.4; }
td, th { padding: 0.3em 0.7em; border: 1px solid var(--line); text-align: start; vertical-align: top; }
th { background: var(--tint); font-weight: 600; }
caption { padding: 0.3em 0; color: var(--soft); text-align: start; }
.math { font-family: "Latin Modern Math", "STIX Two Math", "Cambria Math", Georgia, serif; }
.math.inline { white-space: pre-wrap; }
.math.display { padding: 0.6em 1em; background: var(--tint); border-radius: 4px; white-space: pre-wrap;
  overflow-x: auto; }
.centre { display: block; text-align: center; }
figure { text-align: center; }
figure img, figure svg { max-width: 100%; height: auto; }
figcaption { color: var(--soft); font-size: 0.875rem; }
figure.absent { padding: 1.5em; border: 1px dashed var(--line); }
pre, code { font-size: 0.875em; white-space: pre-wrap; }
blockquote { margin-inline: 0; padding-inline-start: 1em; border-inline-start: 3px solid var(--line); }
[data-label$="caption"], [data-label$="footnote"] { color: var(--soft); font-size: 0.9375rem; }
[data-label="header"], [data-label="footer"], [data-label="page_number"] { color: var(--soft); font-size: 0.8125rem; }
"""
