// What a clerk types beside the card, checked before anything is sent: the server never sends a card
// back. Patterns and words are the server's own; the page brings them along (`data-rules`).

const TypedFields = (() => {
  // Reads amounts of the currency that *chosen* tells: { code, decimals }.
  const amountsBy = (rules, chosen) => {
    const AMOUNT = new RegExp(`^(?:${rules.amount})$`, "u");
    const OTHERS = rules.others.map(([pattern, name]) => [new RegExp(`^(?:${pattern})$`, "su"), name]);

    const plainOf = (minor) => {
      const { decimals } = chosen();
      const digits = String(minor).padStart(decimals + 1, "0");
      const whole = digits.slice(0, digits.length - decimals);
      return decimals ? `${whole}.${digits.slice(-decimals)}` : whole;
    };

    // As on a receipt: 1,234.56 USD.
    const wordsOf = (minor) => {
      const [whole, part] = plainOf(minor).split(".");
      const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
      return `${grouped}${part ? `.${part}` : ""} ${chosen().code}`;
    };

    // Minor units, or the name of what is wrong.
    const read = (text) => {
      const said = text.trim();
      const found = AMOUNT.exec(said);
      if (!found) return OTHERS.find(([pattern]) => pattern.test(said))[1];
      const [, whole, part = ""] = found;
      const { decimals } = chosen();
      if (part.length > decimals) return decimals ? "decimals" : "whole";
      if (whole.includes(",") && !part && decimals === 3) return "comma";
      const minor = Number(whole.replace(/,/g, "") + part.padEnd(decimals, "0"));
      return said.length > rules.characters_max || minor > rules.minor_max ? "large" : minor;
    };

    const inWords = (name) => {
      const { code, decimals } = chosen();
      const unit = 10 ** decimals;
      const values = {
        code,
        decimals,
        example: plainOf(rules.example * unit),
        plain: plainOf(rules.plain * unit),
        least: `${plainOf(1)} ${code}`,
        most: wordsOf(rules.minor_max),
      };
      return rules.words[name].replace(/\{(\w+)\}/g, (_, key) => values[key]);
    };

    return {
      wordsOf,
      // Minor units; 0 also where there is no amount.
      minorOf: (text) => Number(read(text)) || 0,
      faultOf: (text, { mayBeZero = false } = {}) => {
        const found = read(text);
        if (typeof found === "string") return inWords(found);
        return found || mayBeZero ? "" : inWords("zero");
      },
    };
  };

  // Texts: by the rules of each field, with the letters that a folded one is written in instead,
  // and without the marks of direction that the server drops.
  const textsBy = ({ texts, letters, turning }) => {
    const TURNING = new RegExp(`[${turning}]`, "gu");

    const asSent = (rule, text) => {
      if (!rule.folded) return text;
      const apart = text.replace(/(\p{Nd})(?=\p{No})/gu, "$1 ");
      const bare = apart.normalize("NFKD").replace(/\p{M}/gu, "");
      return [...bare].map((each) => letters[each] ?? each).join("").trim();
    };
    return {
      names: Object.keys(texts),
      faultOf: (name, typed) => {
        const rule = texts[name];
        const text = asSent(rule, typed.replace(TURNING, "").trim());
        if (!text) return rule.missing;
        if ([...text].length > rule.longest) return rule.long;
        return new RegExp(rule.fits, "u").test(text) ? "" : rule.unfit;
      },
    };
  };

  return { amountsBy, textsBy };
})();
