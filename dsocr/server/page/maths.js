// Sets simple LaTeX as MathML: fractions, roots, powers, Greek letters, sums, matrices. What it does not know it leaves alone.

const MATHML = "http://www.w3.org/1998/Math/MathML";
const TOKEN = /\\[a-zA-Z]+\*?|\\[^]|[0-9]+(?:[.,][0-9]+)*|\s+|[^]/gu;
const DEEPEST = 40;

const words = (text) => text.trim().split(/\s+/);
const table = (text) => Object.fromEntries(words(text).map((entry) => entry.split("=", 2)));

const LETTERS = table(`alpha=α beta=β gamma=γ delta=δ epsilon=ϵ varepsilon=ε zeta=ζ eta=η theta=θ vartheta=ϑ iota=ι
  kappa=κ lambda=λ mu=μ nu=ν xi=ξ pi=π varpi=ϖ rho=ρ varrho=ϱ sigma=σ varsigma=ς tau=τ upsilon=υ phi=ϕ varphi=φ chi=χ
  psi=ψ omega=ω Gamma=Γ Delta=Δ Theta=Θ Lambda=Λ Xi=Ξ Pi=Π Sigma=Σ Upsilon=Υ Phi=Φ Psi=Ψ Omega=Ω infty=∞ partial=∂
  nabla=∇ hbar=ℏ ell=ℓ Re=ℜ Im=ℑ aleph=ℵ emptyset=∅ varnothing=∅ degree=° circ=∘ top=⊤ bot=⊥ ldots=… dots=… cdots=⋯
  vdots=⋮ ddots=⋱ prime=′`);
const SIGNS = table(`times=× cdot=⋅ div=÷ pm=± mp=∓ ast=∗ star=⋆ bullet=∙ oplus=⊕ ominus=⊖ otimes=⊗ odot=⊙ leq=≤ le=≤
  geq=≥ ge=≥ neq=≠ ne=≠ approx=≈ equiv=≡ sim=∼ simeq=≃ cong=≅ propto=∝ ll=≪ gg=≫ in=∈ notin=∉ ni=∋ subset=⊂ subseteq=⊆
  supset=⊃ supseteq=⊇ cup=∪ cap=∩ setminus=∖ land=∧ wedge=∧ lor=∨ vee=∨ neg=¬ lnot=¬ forall=∀ exists=∃ to=→
  rightarrow=→ leftarrow=← leftrightarrow=↔ Rightarrow=⇒ Leftarrow=⇐ Leftrightarrow=⇔ iff=⇔ implies=⇒ mapsto=↦
  longrightarrow=⟶ uparrow=↑ downarrow=↓ mid=∣ parallel=∥ perp=⊥ angle=∠ triangle=△ therefore=∴ because=∵ coloneqq=≔
  langle=⟨ rangle=⟩ lfloor=⌊ rfloor=⌋ lceil=⌈ rceil=⌉ lvert=| rvert=| vert=| Vert=‖ backslash=∖ asymp=≍ models=⊨
  vdash=⊢ leqslant=⩽ geqslant=⩾ dagger=†`);
const LARGE = table("sum=∑ prod=∏ coprod=∐ bigcup=⋃ bigcap=⋂ bigoplus=⨁ bigotimes=⨂ bigvee=⋁ bigwedge=⋀");
const INTEGRALS = table("int=∫ iint=∬ iiint=∭ oint=∮");
const ACCENTS = table("hat=^ widehat=^ bar=¯ overline=¯ tilde=~ widetilde=~ vec=→ overrightarrow=→ dot=˙ ddot=¨");
const SPACES = { ",": "0.17em", ":": "0.22em", ";": "0.28em", " ": "0.25em", "!": "0", quad: "1em", qquad: "2em" };
const NAMES = new Set(words(`sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp det dim ker deg
  gcd arg hom Pr`));
const UNDER = new Set(words("lim max min sup inf limsup liminf argmax argmin"));
const IGNORED = new Set(words(`displaystyle textstyle scriptstyle limits nolimits big Big bigg Bigg bigl bigr Bigl Bigr
  biggl biggr Biggl Biggr`));
const TEXTS = new Set(words("text textrm textbf textit mathrm operatorname mbox mathsf mathtt textnormal"));
const SAME = new Set(words("mathbf boldsymbol bm mathit"));
const FENCES = { matrix: "", smallmatrix: "", array: "", aligned: "", align: "", "align*": "", split: "", gathered: "",
  pmatrix: "()", bmatrix: "[]", Bmatrix: "{}", vmatrix: "||", Vmatrix: "‖‖", cases: "{" };
const DOUBLE = { C: "ℂ", H: "ℍ", N: "ℕ", P: "ℙ", Q: "ℚ", R: "ℝ", Z: "ℤ" };

/** A <math> element, or null for a formula that has something unknown in it. */
export function typeset(latex, display) {
  try {
    const reader = new Reader(latex, display);
    const inside = reader.row(() => false);
    const math = node("math", inside);
    if (display) math.setAttribute("display", "block");
    math.setAttribute("aria-label", latex);
    return math;
  } catch (unknown) {
    if (unknown instanceof Unknown) return null;
    throw unknown;
  }
}

class Unknown extends Error {}

class Reader {
  constructor(latex, display) {
    this.tokens = latex.match(TOKEN) ?? [];
    this.display = display;
    this.place = 0;
    this.depth = 0;
  }

  peek() {
    while (/^\s/u.test(this.tokens[this.place] ?? "")) this.place += 1;
    return this.tokens[this.place];
  }

  take(wanted) {
    const token = this.peek();
    if (token === undefined || (wanted !== undefined && token !== wanted)) throw new Unknown(token);
    this.place += 1;
    return token;
  }

  /** Everything up to a token at which to stop, which is left where it is. */
  row(stops) {
    const nodes = [];
    for (let token = this.peek(); token !== undefined && !stops(token); token = this.peek()) {
      const piece = this.scripted();
      if (piece) nodes.push(piece);
    }
    return nodes;
  }

  /** One thing with what stands below and above it. */
  scripted() {
    const token = this.peek();
    const base = token === "^" || token === "_" ? node("mrow") : this.atom();
    let below, above;
    for (let next = this.peek(); next === "^" || next === "_" || next === "'"; next = this.peek()) {
      this.take();
      if (next === "'") above = above ? node("mrow", [above, leaf("mo", "′")]) : leaf("mo", "′");
      else if (next === "_" && !below) below = this.argument();
      else if (next === "^" && !above) above = this.argument();
      else throw new Unknown(next);
    }
    if (!base || (!below && !above)) return base;
    const limits = this.display && base.limits;
    const name = below && above ? (limits ? "munderover" : "msubsup") : below ? (limits ? "munder" : "msub") : limits ? "mover" : "msup";
    return node(name, [base, below, above].filter(Boolean));
  }

  /** What one command takes: a group in braces, or a single thing. */
  argument() {
    const token = this.peek() ?? "";
    if (/^[0-9]{2}/u.test(token)) { // \frac12 is a half
      this.tokens[this.place] = token.slice(1);
      return leaf("mn", token[0]);
    }
    return this.atom() ?? node("mrow");
  }

  group() {
    this.take("{");
    const inside = this.row((token) => token === "}");
    this.take("}");
    return inside.length === 1 ? inside[0] : node("mrow", inside);
  }

  /** The letters of a group, as they are. */
  plain() {
    this.take("{");
    let text = "";
    while (this.tokens[this.place] !== "}") {
      const token = this.tokens[this.place++];
      if (token === undefined || token === "{" || /^\\[a-zA-Z]/u.test(token)) throw new Unknown(token);
      text += token.startsWith("\\") ? token.slice(1) : token;
    }
    this.take("}");
    return text;
  }

  atom() {
    if (++this.depth > DEEPEST) throw new Unknown("too deep");
    const piece = this.peek() === "{" ? this.group() : this.single();
    this.depth -= 1;
    return piece;
  }

  single() {
    const token = this.take();
    if (token.startsWith("\\")) return this.command(token.slice(1));
    if (/^[0-9]/u.test(token)) return leaf("mn", token);
    if (/^\p{L}$/u.test(token)) return leaf("mi", token);
    if (token === "-") return leaf("mo", "−");
    if (token === "'") return leaf("mo", "′");
    if (token === "~") return space("0.25em");
    if (/^[+=<>()[\],.;:!|/*?%]$/u.test(token)) return small(leaf("mo", token));
    if (/^[^\x00-\x7f]$/u.test(token)) return leaf("mo", token);
    throw new Unknown(token);
  }

  command(name) {
    if (Object.hasOwn(LETTERS, name)) return leaf("mi", LETTERS[name]);
    if (Object.hasOwn(SIGNS, name)) return small(leaf("mo", SIGNS[name]));
    if (Object.hasOwn(LARGE, name)) return withLimits(leaf("mo", LARGE[name]));
    if (Object.hasOwn(INTEGRALS, name)) return leaf("mo", INTEGRALS[name]);
    if (Object.hasOwn(SPACES, name)) return space(SPACES[name]);
    if (NAMES.has(name)) return leaf("mi", name);
    if (UNDER.has(name)) return withLimits(leaf("mo", name));
    if (IGNORED.has(name)) return null;
    if (TEXTS.has(name)) return leaf("mtext", this.plain());
    if (SAME.has(name)) return styled(this.argument(), name === "mathit" ? "" : "bold");
    if (Object.hasOwn(ACCENTS, name)) return accented(this.argument(), ACCENTS[name]);
    if (name && "{}%$&#_|".includes(name)) return small(leaf("mo", name === "|" ? "‖" : name));
    switch (name) {
      case "frac": case "dfrac": case "tfrac": case "cfrac": return node("mfrac", [this.argument(), this.argument()]);
      case "binom": return fenced("()", [ruleless(node("mfrac", [this.argument(), this.argument()]))]);
      case "sqrt": return this.root();
      case "left": return this.fence();
      case "begin": return this.environment();
      case "mathbb": return this.doubleStruck();
      case "underline": return node("munder", [this.argument(), leaf("mo", "_")]);
      case "tag": return node("mrow", [space("2em"), leaf("mtext", `(${this.plain()})`)]);
      default: throw new Unknown(name);
    }
  }

  root() {
    if (this.peek() !== "[") return node("msqrt", [this.argument()]);
    this.take("[");
    const degree = node("mrow", this.row((token) => token === "]"));
    this.take("]");
    return node("mroot", [this.argument(), degree]);
  }

  fence() {
    const opening = this.delimiter();
    const inside = this.row((token) => token === "\\right");
    this.take("\\right");
    const closing = this.delimiter();
    return node("mrow", [fence(opening), ...inside, fence(closing)]);
  }

  delimiter() {
    const token = this.take();
    const name = token.replace("\\", "");
    if ("()[]{}|./".includes(token) || token === "\\{" || token === "\\}") return name === "." ? "" : name;
    if (token === "\\|") return "‖";
    if (token.startsWith("\\") && Object.hasOwn(SIGNS, name)) return SIGNS[name];
    throw new Unknown(token);
  }

  environment() {
    const name = this.plain();
    if (!Object.hasOwn(FENCES, name)) throw new Unknown(name);
    if (name === "array") this.plain();
    const rows = [[]];
    for (;;) {
      rows.at(-1).push(node("mtd", this.row((token) => token === "&" || token === "\\\\" || token === "\\end")));
      const token = this.take();
      if (token === "\\end") break;
      if (token === "\\\\") rows.push([]);
    }
    if (this.plain() !== name) throw new Unknown(name);
    return fenced(FENCES[name], [node("mtable", rows.map((cells) => node("mtr", cells)))]);
  }

  doubleStruck() {
    const text = this.peek() === "{" ? this.plain() : this.take();
    if (!/^[A-Z]$/u.test(text)) throw new Unknown(text);
    return leaf("mi", DOUBLE[text] ?? String.fromCodePoint(0x1d538 + text.charCodeAt(0) - 65));
  }
}

function node(name, children = []) {
  const element = document.createElementNS(MATHML, name);
  element.append(...children);
  return element;
}

function leaf(name, text) {
  return node(name, [text]);
}

function space(width) {
  const element = node("mspace");
  element.setAttribute("width", width);
  return element;
}

/** A bracket in a line grows only where \left and \right say so. */
function small(element) {
  element.setAttribute("stretchy", "false");
  return element;
}

function withLimits(element) {
  element.limits = true;
  return element;
}

function fence(text) {
  const element = leaf("mo", text);
  element.setAttribute("stretchy", "true");
  return element;
}

function fenced(pair, inside) {
  const [opening, closing] = pair;
  return node("mrow", [...(opening ? [fence(opening)] : []), ...inside, ...(closing ? [fence(closing)] : [])]);
}

function accented(base, sign) {
  const element = node("mover", [base, leaf("mo", sign)]);
  element.setAttribute("accent", "true");
  return element;
}

function ruleless(fraction) {
  fraction.setAttribute("linethickness", "0");
  return fraction;
}

function styled(element, name) {
  const row = node("mrow", [element]);
  if (name) row.setAttribute("class", name);
  return row;
}
