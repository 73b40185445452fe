-- A credit that the acquirer can not take back any more stands, whatever was said before.

DROP TRIGGER payments_legal_moves ON payments;
CREATE TRIGGER payments_legal_moves BEFORE UPDATE OF state ON payments FOR EACH ROW
    WHEN (OLD.state <> NEW.state AND (OLD.state || '>' || NEW.state) NOT IN (
        'processing>not_sent', 'processing>declined', 'processing>approved',
        'processing>reversing', 'processing>verified', 'processing>unanswered',
        'not_sent>processing', 'approved>authorized',
        'approved>captured', 'approved>reversing', 'authorized>captured',
        'authorized>voiding', 'authorized>expired', 'captured>voiding', 'captured>authorized',
        'voiding>voided', 'reversing>reversed', 'reversed>reversing')
        AND NOT (OLD.kind = 'credit' AND (OLD.state || '>' || NEW.state) IN (
            'voiding>captured', 'reversing>captured')))
    EXECUTE FUNCTION refuse_illegal_move();
