// All that is left is given back, mostly; whoever types writes over it.

const amount = document.getElementById("amount");
if (amount) amount.select();
