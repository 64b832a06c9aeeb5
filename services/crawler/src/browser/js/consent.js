// Turns the consent banners of the common makers down, then removes what is left of them. Returns how many there were.
(() => {
  const DECLINE = [
    '#onetrust-reject-all-handler', '#CybotCookiebotDialogBodyButtonDecline', '#didomi-notice-disagree-button',
    '.qc-cmp2-summary-buttons [mode=secondary]', '.cc-deny', '.cky-btn-reject', '.cmplz-deny', '.osano-cm-denyAll',
    '#truste-consent-required', '.iubenda-cs-reject-btn', '.termly-styles-declineAll', '#tarteaucitronAllDenied2',
    '[data-testid=uc-deny-all-button]', '.fc-cta-do-not-consent', '.moove-gdpr-infobar-reject-btn', '#ccc-reject-settings',
  ];
  const BANNERS = [
    '#onetrust-consent-sdk', '#CybotCookiebotDialog', '#CybotCookiebotDialogBodyUnderlay', '#didomi-host', '.qc-cmp2-container',
    '.cc-window', '.cky-consent-container', '.cky-overlay', '#cmplz-cookiebanner-container', '.osano-cm-window', '#truste-consent-track',
    '.truste_overlay', '.truste_box_overlay', '#iubenda-cs-banner', '#termly-code-snippet-support', '#tarteaucitronRoot',
    '#usercentrics-root', '#usercentrics-cmp-ui', '.fc-consent-root', '#moove_gdpr_cookie_info_bar', '#ccc', '#cookie-law-info-bar',
    '[id^=sp_message_container]', '#cookieconsent', '#cookie-banner', '#cookie-consent', '.cookie-banner', '.cookie-consent',
    '[aria-label="cookieconsent"]',
  ];
  for (const selector of DECLINE) for (const button of document.querySelectorAll(selector)) button.click();
  let found = 0;
  for (const selector of BANNERS) for (const banner of document.querySelectorAll(selector)) { banner.remove(); found++; }
  for (const element of [document.documentElement, document.body]) {
    if (element && found) element.style.setProperty('overflow', 'auto', 'important');
  }
  return found;
})()
